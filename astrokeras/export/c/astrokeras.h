/* A surrogate of gas-grain chemistry for hydrodynamics codes: C99, no dependency but libm.

   A handle holds the weights of one surrogate and is never changed: any number of threads
   may use one at once. No function aborts, prints, or keeps state of its own. Functions
   that can fail return 0, or a code and a message in `error`, which may be NULL. */

#ifndef ASTROKERAS_H
#define ASTROKERAS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ASTROKERAS_CARRIED = 4 };

/* What an error code says. */
enum {
    ASTROKERAS_OK = 0,
    ASTROKERAS_FILE = 1,     /* the file is missing, cut, damaged or of another kind */
    ASTROKERAS_MEMORY = 2,   /* there is not enough memory */
    ASTROKERAS_ARGUMENT = 3  /* an argument is NULL or out of range */
};

/* Bits of the status of a cell; 0 if nothing speaks against it. */
enum {
    ASTROKERAS_PARAMETER = 1, /* a parameter lies outside the trained range */
    ASTROKERAS_TIME = 2,      /* the step or the age lies outside the trained range */
    ASTROKERAS_UNLIKE = 4,    /* the state or its parameters are unlike training */
    ASTROKERAS_ERROR = 8,     /* the expected error is above the threshold */
    ASTROKERAS_TOTALS = 16,   /* element totals could not be restored */
    ASTROKERAS_INPUT = 32     /* the input is invalid: not finite, negative, or zero */
};

typedef struct astrokeras_surrogate astrokeras_surrogate;

typedef struct {
    int code;
    char message[256];
} astrokeras_error;

/* An array of cells: number k of cell i is data[i * cell + k * item], in units of
   numbers, so that both orders of memory do: cells first (cell = items, item = 1), or
   cells last (cell = 1, item = cells). */
typedef struct {
    void *data;
    int is_double; /* 0: float, 1: double */
    ptrdiff_t cell, item;
} astrokeras_array;

/* Opens the file of weights. The handle is NULL after an error.

   Where POSIX is, the file is mapped, and all processes of a machine share one copy of
   its content. Nothing writes to it or to the handle, so that threads may be started and
   processes forked after this call. Until `astrokeras_destroy`, replace the file by
   renaming another into its place, and do not write into it. */
int astrokeras_create(const char *path, astrokeras_surrogate **handle,
                      astrokeras_error *error);
void astrokeras_destroy(astrokeras_surrogate *handle);

/* Sizes and names. An index of a name that is unknown is -1. */
int astrokeras_species_count(const astrokeras_surrogate *handle);
int astrokeras_parameter_count(const astrokeras_surrogate *handle);
int astrokeras_latent_count(const astrokeras_surrogate *handle);
int astrokeras_element_count(const astrokeras_surrogate *handle);
const char *astrokeras_species_name(const astrokeras_surrogate *handle, int index);
const char *astrokeras_parameter_name(const astrokeras_surrogate *handle, int index);
const char *astrokeras_parameter_unit(const astrokeras_surrogate *handle, int index);
int astrokeras_species_index(const astrokeras_surrogate *handle, const char *name);
int astrokeras_parameter_index(const astrokeras_surrogate *handle, const char *name);
/* Atoms of an element in a species. Codes that advect abundances need them: interpolated
   abundances lose their element totals unless these are restored. */
double astrokeras_atoms(const astrokeras_surrogate *handle, int species, int element);
/* Shortest and longest step, years, and the largest expected error that is reliable. */
void astrokeras_limits(const astrokeras_surrogate *handle, double *shortest,
                       double *longest, double *threshold);
/* Abundances of a state to begin with, relative to H nuclei (species). */
void astrokeras_start(const astrokeras_surrogate *handle, double *abundances);

/* Bytes of the workspace that a thread needs for any number of cells. */
size_t astrokeras_workspace(const astrokeras_surrogate *handle);

/* Evolves cells by one step, in place.

   state       abundances relative to H nuclei (cells, species)
   parameters  in their units, held during the step (cells, parameters); not changed
   years       length of the step (cells, 1); not changed
   carried     numbers that expected errors need of earlier steps (cells, 4), zeros at the
               start; data may be NULL: each step is then the first of its cell
   expected    expected error of each cell, dex (cells), NaN for invalid input; or NULL
   status      bits above (cells); or NULL
   workspace   memory of `astrokeras_workspace` bytes, aligned to 64 bytes, that no other
               thread uses meanwhile; NULL lets the call allocate it

   A cell with invalid input is left as it is, with its status, and spoils no other. */
int astrokeras_step(const astrokeras_surrogate *handle, size_t cells,
                    astrokeras_array state, astrokeras_array parameters,
                    astrokeras_array years, astrokeras_array carried, float *expected,
                    int *status, void *workspace, astrokeras_error *error);

/* For codes that follow particles and need no abundances between steps: encode once, step
   the latents, decode what is looked at. `totals` are element totals (cells, elements).
   What the decoder misses of the first state is not added here, as `astrokeras_step`
   does. Latents that are not finite are left as they are. */
int astrokeras_encode(const astrokeras_surrogate *handle, size_t cells,
                      astrokeras_array state, astrokeras_array latents,
                      astrokeras_array totals, void *workspace, astrokeras_error *error);
int astrokeras_step_latent(const astrokeras_surrogate *handle, size_t cells,
                           astrokeras_array latents, astrokeras_array parameters,
                           astrokeras_array years, astrokeras_array carried,
                           float *expected, int *status, void *workspace,
                           astrokeras_error *error);
int astrokeras_decode(const astrokeras_surrogate *handle, size_t cells,
                      astrokeras_array latents, astrokeras_array totals,
                      astrokeras_array state, void *workspace, astrokeras_error *error);

#ifdef __cplusplus
}
#endif
#endif

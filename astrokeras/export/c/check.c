/* Checks the library on cells that Python has computed, in both orders of memory and both
   precisions:

       ./check surrogate.bin reference.bin

   The reference holds the number of cells, then as float32 their abundances, parameters
   and years, and what Keras makes of them: abundances, expected errors, and the status. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "astrokeras.h"

static float *numbers(FILE *file, size_t count) {
    float *found = malloc(count * sizeof *found);
    if (found && fread(found, sizeof *found, count, file) == count) return found;
    free(found);
    return NULL;
}

/* The largest difference in dex of a call, or -1 if status or expected errors differ. */
static double compare(const astrokeras_surrogate *s, size_t cells, int as_double,
                      int cells_last, float *const given[6]) {
    const size_t species = (size_t)astrokeras_species_count(s);
    const size_t parameters = (size_t)astrokeras_parameter_count(s);
    double *wide = malloc(cells * species * sizeof *wide);
    float *narrow = malloc(cells * species * sizeof *narrow);
    float *expected = malloc(cells * sizeof *expected);
    int *status = malloc(cells * sizeof *status);
    double most = -1.0;
    const ptrdiff_t cell = cells_last ? 1 : (ptrdiff_t)species;
    const ptrdiff_t item = cells_last ? (ptrdiff_t)cells : 1;
    if (!wide || !narrow || !expected || !status) goto end;
    for (size_t i = 0; i < cells; i++)
        for (size_t k = 0; k < species; k++) {
            const size_t at = (size_t)((ptrdiff_t)i * cell + (ptrdiff_t)k * item);
            wide[at] = narrow[at] = given[0][i * species + k];
        }
    const astrokeras_array state = {as_double ? (void *)wide : (void *)narrow, as_double,
                                    cell, item};
    const astrokeras_array p = {given[1], 0, (ptrdiff_t)parameters, 1};
    const astrokeras_array years = {given[2], 0, 1, 1}, none = {NULL, 0, 0, 0};
    astrokeras_error error;
    if (astrokeras_step(s, cells, state, p, years, none, expected, status, NULL, &error)) {
        printf("%s\n", error.message);
        goto end;
    }
    most = 0.0;
    for (size_t i = 0; i < cells; i++) {
        const float wanted = given[4][i];
        const int same = isnan(wanted) ? isnan(expected[i]) != 0
                                       : fabsf(expected[i] / wanted - 1.0f) < 1e-2f;
        if (!same || status[i] != (int)given[5][i]) {
            printf("cell %zu: expected error %g for %g, status %d for %g\n", i,
                   (double)expected[i], (double)wanted, status[i], (double)given[5][i]);
            most = -1.0;
            goto end;
        }
        for (size_t k = 0; k < species && !isnan(wanted); k++) {
            const size_t at = (size_t)((ptrdiff_t)i * cell + (ptrdiff_t)k * item);
            const double value = as_double ? wide[at] : (double)narrow[at];
            const double off = fabs(log10(value / (double)given[3][i * species + k]));
            if (!(off <= most)) most = off;
        }
    }
end:
    free(wide);
    free(narrow);
    free(expected);
    free(status);
    return most;
}

int main(int count, char **words) {
    if (count < 3) {
        printf("usage: check surrogate.bin reference.bin\n");
        return 2;
    }
    astrokeras_surrogate *s;
    astrokeras_error error;
    if (astrokeras_create(words[1], &s, &error)) {
        printf("%s\n", error.message);
        return 1;
    }
    int failed = 1;
    int32_t cells = 0;
    float *given[6] = {NULL};
    FILE *file = fopen(words[2], "rb");
    if (file && fread(&cells, 4, 1, file) == 1 && cells > 0 && cells < 100000) {
        const size_t n = (size_t)cells, width = (size_t)astrokeras_species_count(s);
        const size_t widths[6] = {width, (size_t)astrokeras_parameter_count(s), 1, width,
                                  1, 1};
        failed = 0;
        for (int i = 0; i < 6; i++)
            if (!(given[i] = numbers(file, n * widths[i]))) failed = 1;
        for (int way = 0; way < 4 && !failed; way++) {
            const double most = compare(s, n, way & 1, way >> 1, given);
            printf("%s, cells %s: %.1e dex at most\n", way & 1 ? "double" : "float",
                   way >> 1 ? "last" : "first", most);
            failed = !(most >= 0.0 && most < 1e-3);
        }
    }
    if (file) fclose(file);
    for (int i = 0; i < 6; i++) free(given[i]);
    astrokeras_destroy(s);
    printf("%s\n", failed ? "the library differs from Keras" : "the library agrees");
    return failed;
}

/* One step of a surrogate, by the C API of ONNX Runtime 1.14 or later, for Fortran and C.

   Whatever fails is told in one line on stderr. Steps of one surrogate may run in
   several threads at once. The build line is in grid.f90. */

#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Functions are only ever added, so an older API works with a newer library. */
enum { VERSION = 14, INPUTS = 4, OUTPUTS = 4, CARRIED = 4 };

typedef struct {
    const OrtApi *api;
    OrtEnv *env;
    OrtSession *session;
    OrtMemoryInfo *memory;
    int64_t species, parameters;
} Surrogate;

static const char *const INPUT[INPUTS] = {"abundances", "physical", "years", "carried"};
static const char *const OUTPUT[OUTPUTS] = {"evolved", "carried_on", "expected_error",
                                            "status"};

/* Tells what went wrong, if anything did. */
static int failed(const OrtApi *api, OrtStatus *status) {
    if (!status) return 0;
    fprintf(stderr, "surrogate: ");
    for (const char *c = api->GetErrorMessage(status); *c; c++)
        fputc(*c == '\n' ? ' ' : *c, stderr);
    fputc('\n', stderr);
    api->ReleaseStatus(status);
    return 1;
}

/* Width of a two-dimensional input; -1 after an error. */
static int64_t width(Surrogate *s, size_t input) {
    const OrtApi *api = s->api;
    OrtTypeInfo *type = NULL;
    const OrtTensorTypeAndShapeInfo *tensor = NULL;
    int64_t sizes[2] = {-1, -1};
    if (failed(api, api->SessionGetInputTypeInfo(s->session, input, &type))) return -1;
    if (failed(api, api->CastTypeInfoToTensorInfo(type, &tensor)) ||
        failed(api, api->GetDimensions(tensor, sizes, 2)))
        sizes[1] = -1;
    api->ReleaseTypeInfo(type);
    return sizes[1];
}

void surrogate_close(void *handle) {
    Surrogate *s = handle;
    if (!s) return;
    if (s->memory) s->api->ReleaseMemoryInfo(s->memory);
    if (s->session) s->api->ReleaseSession(s->session);
    if (s->env) s->api->ReleaseEnv(s->env);
    free(s);
}

/* Opens a step.onnx that takes so many species and parameters; NULL if it cannot. */
void *surrogate_open(const char *path, int species, int parameters, int threads) {
    Surrogate *s = calloc(1, sizeof *s);
    const OrtApi *api = s ? OrtGetApiBase()->GetApi(VERSION) : NULL;
    OrtSessionOptions *options = NULL;
    size_t inputs = 0;
    if (!api) {
        fprintf(stderr, "surrogate: ONNX Runtime is too old, or memory too short\n");
        free(s);
        return NULL;
    }
    s->api = api;
    s->species = species;
    s->parameters = parameters;
    int bad =
        failed(api, api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "surrogate", &s->env)) ||
        failed(api, api->CreateSessionOptions(&options)) ||
        failed(api, api->SetIntraOpNumThreads(options, threads)) ||
        failed(api, api->CreateSession(s->env, path, options, &s->session)) ||
        failed(api, api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault,
                                             &s->memory)) ||
        failed(api, api->SessionGetInputCount(s->session, &inputs));
    if (options) api->ReleaseSessionOptions(options);
    if (!bad && (inputs != INPUTS || width(s, 0) != species ||
                 width(s, 1) != parameters)) {
        fprintf(stderr, "surrogate: %s does not take %d species and %d parameters\n",
                path, species, parameters);
        bad = 1;
    }
    if (!bad) return s;
    surrogate_close(s);
    return NULL;
}

/* Evolves cells, x (cells, species), under p (cells, parameters) for years (cells) in
   place, and so the numbers that expected errors need of earlier steps, carried (cells,
   4), zero at the start. Tells the expected error of each cell in dex and its status, 0
   if it may be believed. Returns 0, or 1 and leaves x and carried as they were. */
int surrogate_step(void *handle, int cells, float *x, const float *p,
                   const float *years, float *carried, float *expected, int *status) {
    Surrogate *s = handle;
    const OrtApi *api = s->api;
    const void *given[INPUTS] = {x, p, years, carried};
    const int64_t widths[INPUTS] = {s->species, s->parameters, 1, CARRIED};
    void *const taken[OUTPUTS] = {x, carried, expected, status};
    const int64_t sizes[OUTPUTS] = {s->species, CARRIED, 1, 1};
    OrtValue *inputs[INPUTS] = {NULL}, *outputs[OUTPUTS] = {NULL};
    void *values[OUTPUTS] = {NULL};
    int bad = 0;
    for (int i = 0; i < INPUTS && !bad; i++) {
        const int64_t shape[2] = {cells, widths[i]};
        const size_t bytes = (size_t)cells * (size_t)widths[i] * sizeof(float);
        /* The runtime reads its inputs only, though it asks for memory to write. */
        bad = failed(api, api->CreateTensorWithDataAsOrtValue(
                              s->memory, (void *)given[i], bytes, shape, i == 2 ? 1 : 2,
                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &inputs[i]));
    }
    bad = bad ||
          failed(api, api->Run(s->session, NULL, INPUT, (const OrtValue *const *)inputs,
                               INPUTS, OUTPUT, OUTPUTS, outputs));
    for (int i = 0; i < OUTPUTS && !bad; i++)
        bad = failed(api, api->GetTensorMutableData(outputs[i], &values[i]));
    /* float and int32 have four bytes each. */
    for (int i = 0; i < OUTPUTS && !bad; i++)
        memcpy(taken[i], values[i], (size_t)cells * (size_t)sizes[i] * 4);
    for (int i = 0; i < INPUTS; i++)
        if (inputs[i]) api->ReleaseValue(inputs[i]);
    for (int i = 0; i < OUTPUTS; i++)
        if (outputs[i]) api->ReleaseValue(outputs[i]);
    return bad;
}

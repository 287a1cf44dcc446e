/* Arithmetic on blocks of cells: vectors of one number of many cells, exponentials and
   logarithms of our own within 1e-6, and products with matrices of weights.

   Compilers that know GNU's vector extensions keep VECTOR cells in a register; others
   take one cell at a time, by the same code. */

#ifndef ASTROKERAS_KERNELS_H
#define ASTROKERAS_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi" /* vectors stay within this file's functions */
enum { VECTOR = 8 };
typedef float vec __attribute__((vector_size(32)));
typedef int32_t ivec __attribute__((vector_size(32)));
#define MASK(condition) ((ivec)(condition))
#define UNUSED __attribute__((unused))
#define INLINE static inline __attribute__((always_inline, unused))
#else
enum { VECTOR = 1 };
typedef float vec;
typedef int32_t ivec;
#define MASK(condition) (-(ivec)(condition))
#define UNUSED
#define INLINE static inline
#endif

/* Each product keeps PAIR vectors of cells by PANEL numbers in registers. */
enum { PAIR = 2, PANEL = 6, LANES = PAIR * VECTOR };

/* One number of all cells of a block. */
typedef union {
    vec v[PAIR];
    float f[LANES];
} row;

#define EACH(i) for (int i = 0; i < PAIR; i++)

INLINE ivec bits_of(vec x) {
    ivec i;
    memcpy(&i, &x, sizeof i);
    return i;
}

INLINE vec of_bits(ivec i) {
    vec x;
    memcpy(&x, &i, sizeof x);
    return x;
}

INLINE vec all(float x) { return x - (vec){0}; }

INLINE vec choose(ivec mask, vec yes, vec no) {
    return of_bits((bits_of(yes) & mask) | (bits_of(no) & ~mask));
}

/* Of a number and what is not one, the number. */
INLINE vec lower(vec a, vec b) { return choose(MASK(a < b), a, b); }
INLINE vec higher(vec a, vec b) { return choose(MASK(a > b), a, b); }
INLINE vec within(vec x, float low, float high) {
    return lower(higher(x, all(low)), all(high));
}
INLINE vec magnitude(vec x) { return of_bits(bits_of(x) & 0x7fffffff); }

/* Exponential (Cephes' expf: range reduction and a polynomial). */
INLINE vec vexp(vec x) {
    x = within(x, -87.0f, 88.0f);
    vec shifted = x * 1.44269504f + 12582912.0f;
    ivec n = bits_of(shifted) - 0x4b400000;
    vec whole = shifted - 12582912.0f;
    vec r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * of_bits((n + 127) << 23);
}

/* Natural logarithm of positive, normal numbers (Cephes' logf). */
INLINE vec vlog(vec x) {
    ivec i = bits_of(x);
    ivec exponent = ((i >> 23) & 255) - 126;
    vec m = of_bits((i & 0x007fffff) | 0x3f000000);
    ivec small = MASK(m < 0.70710678f);
    exponent += small; /* a mask is -1 */
    m = m + choose(small, m, all(0.0f)) - 1.0f;
#if defined(__GNUC__)
    vec e = __builtin_convertvector(exponent, vec);
#else
    vec e = (float)exponent;
#endif
    vec z = m * m;
    vec p = all(7.0376836292e-2f);
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    vec y = m * z * p - e * 2.12194440e-4f - 0.5f * z;
    return m + y + e * 0.693359375f;
}

INLINE vec vlog10(vec x) { return vlog(x) * 0.43429448190f; }
INLINE vec vexp10(vec x) { return vexp(x * 2.30258509299f); }
INLINE vec vroot(vec x) { /* 0 of 0 */
    return choose(MASK(x > 1e-37f), vexp(0.5f * vlog(higher(x, all(1e-37f)))), all(0.0f));
}
INLINE vec vsigmoid(vec x) { return 1.0f / (1.0f + vexp(-x)); }
INLINE vec vtanh(vec x) { return 1.0f - 2.0f / (1.0f + vexp(2.0f * x)); }

/* Cosine of moderate angles: the series of the angle's distance from a multiple of pi. */
INLINE vec vcos(vec x) {
    vec shifted = x * 0.31830988618f + 12582912.0f;
    ivec odd = bits_of(shifted) << 31;
    vec n = shifted - 12582912.0f;
    vec r = x - n * 3.140625f - n * 9.67502593994e-4f - n * 1.50995788317e-7f;
    vec z = r * r;
    vec p = all(2.08767570e-9f);
    p = p * z - 2.75573192e-7f;
    p = p * z + 2.48015873e-5f;
    p = p * z - 1.38888889e-3f;
    p = p * z + 4.16666667e-2f;
    p = p * z - 0.5f;
    p = p * z + 1.0f;
    return of_bits(bits_of(p) ^ odd);
}

/* Activations that the file may name. */
enum { LINEAR, RELU, TANH, SIGMOID, SILU, ACTIVATIONS };

INLINE void activate(row *x, int count, int kind) {
    for (int k = 0; k < count; k++)
        EACH(i) {
            vec a = x[k].v[i];
            switch (kind) {
            case RELU: a = higher(a, all(0.0f)); break;
            case TANH: a = vtanh(a); break;
            case SIGMOID: a = vsigmoid(a); break;
            case SILU: a = a * vsigmoid(a); break;
            default: break;
            }
            x[k].v[i] = a;
        }
}

/* A dense layer. The kernel (in, out) is stored in panels of PANEL columns, each
   (in, PANEL), the last one filled with zeros. */
typedef struct {
    const float *kernel, *bias;
    int in, out;
} layer;

/* y = x W + b, or y + x W where `more`. */
UNUSED static void product(const layer *of, const row *x, row *y, int more) {
    const float *w = of->kernel;
    for (int start = 0; start < of->out; start += PANEL) {
        const int count = of->out - start < PANEL ? of->out - start : PANEL;
        row sum[PANEL];
        for (int j = 0; j < PANEL; j++)
            EACH(i) {
                sum[j].v[i] = all(0.0f);
                if (j < count) {
                    if (more) sum[j].v[i] = y[start + j].v[i];
                    else if (of->bias) sum[j].v[i] = all(of->bias[start + j]);
                }
            }
        for (int k = 0; k < of->in; k++, w += PANEL) {
            const vec first = x[k].v[0], second = x[k].v[1];
            for (int j = 0; j < PANEL; j++) {
                sum[j].v[0] += w[j] * first;
                sum[j].v[1] += w[j] * second;
            }
        }
        for (int j = 0; j < count; j++) y[start + j] = sum[j];
    }
}

#endif

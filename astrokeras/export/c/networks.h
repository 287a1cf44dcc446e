/* The networks and the conservation of a surrogate on a block of LANES cells. */

#ifndef ASTROKERAS_NETWORKS_H
#define ASTROKERAS_NETWORKS_H

#include "surrogate.h"

/* Memory of a block. */
typedef struct {
    row *x, *scaled, *residual, *state, *weight; /* (species) */
    row *z, *next, *sum, *square;                /* (latents) */
    row *one, *two;                              /* (widest): layers */
    row *drive, *features, *position, *inputs;
    row p[MOST_PARAMETERS]; /* log10 of the parameters */
    row raw[MOST_PARAMETERS];
    row years, age, path, spread, totals[MOST_ELEMENTS], carried[ASTROKERAS_CARRIED];
} block;

/* Scaled abundances of abundances: 0 at the floor, 1 at 1. */
INLINE void scale(const astrokeras_surrogate *s, const row *x, row *scaled) {
    for (int k = 0; k < s->species; k++)
        EACH(i) scaled[k].v[i] = vlog10(x[k].v[i]) * (1.0f / s->decades) + 1.0f;
}

INLINE void encode(const astrokeras_surrogate *s, block *b, const row *scaled, row *z) {
    for (int k = 0; k < s->species; k++)
        EACH(i)
    b->one[k].v[i] = (scaled[k].v[i] - s->species_offset[k]) / s->species_scale[k];
    product(&s->project, b->one, z, 0);
    for (int k = 0; k < s->latents; k++)
        EACH(i) z[k].v[i] = (z[k].v[i] - s->latent_offset[k]) / s->latent_scale[k];
}

/* Scaled abundances of latents; what the projection of the decoder misses is added. */
INLINE void decode(const astrokeras_surrogate *s, block *b, const row *latents,
                   row *scaled) {
    row *in = b->one, *out = b->two;
    for (int k = 0; k < s->latents; k++)
        EACH(i)
    b->sum[k].v[i] = latents[k].v[i] * s->latent_scale[k] + s->latent_offset[k];
    const row *from = b->sum;
    for (int k = 0; k < s->decoder_layers; k++) {
        product(&s->decoder[k], from, out, 0);
        activate(out, s->decoder[k].out, s->coder_kind);
        from = out;
        out = in;
        in = out == b->one ? b->two : b->one;
    }
    product(&s->decode_last, from, scaled, 0);
    product(&s->project, scaled, b->square, 0);
    for (int k = 0; k < s->latents; k++)
        EACH(i) b->square[k].v[i] = b->sum[k].v[i] - b->square[k].v[i];
    product(&s->unproject, b->square, scaled, 1);
    for (int k = 0; k < s->species; k++)
        EACH(i)
    scaled[k].v[i] = scaled[k].v[i] * s->species_scale[k] + s->species_offset[k];
}

/* Abundances of scaled ones, within the trained ranges. */
INLINE void unscale(const astrokeras_surrogate *s, const row *scaled, row *x) {
    for (int k = 0; k < s->species; k++)
        EACH(i)
    x[k].v[i] = vexp10((within(scaled[k].v[i], s->low[k], s->high[k]) - 1.0f) * s->decades);
}

INLINE void exposure_features(const astrokeras_surrogate *s, block *b, row *out) {
    row *in = b->one;
    const int p = s->parameters;
    for (int k = 0; k < p; k++) in[k] = b->p[k];
    EACH(i) in[p].v[i] = vlog10(b->years.v[i]);
    for (int c = 0; c < s->curve_count; c++) {
        const row *log = &b->p[s->curves[2 * c + 1]];
        EACH(i) {
            vec x = log->v[i], y;
            if (s->curves[2 * c] == 0) {
                y = lower(vexp10(x), all(s->exposure_black));
            } else if (s->curves[2 * c] == 1) {
                y = vexp10(-higher(x, all(0.0f)));
            } else {
                /* Draine & Bertoldi 1996, eq. 37 */
                x = vexp10(lower(x, all(s->largest_column))) / s->h2_column;
                const vec root = vroot(1.0f + x), wide = 1.0f + x / s->h2_width;
                y = 0.965f / (wide * wide) + 0.035f / root * vexp(-8.5e-4f * root);
                y = vlog10(y);
            }
            in[p + 1 + c].v[i] = y;
        }
    }
    product(&s->exposure, in, b->two, 0);
    for (int l = 0; l < s->level_count; l++)
        for (int k = 0; k < s->exposures; k++, out++)
            EACH(i)
    out->v[i] = vtanh((b->two[k].v[i] - s->levels[l]) / s->exposure_width);
}

INLINE void rate_features(const astrokeras_surrogate *s, block *b, row *out) {
    for (int k = 0; k < s->temperature_count; k++) {
        const row *log = &b->p[s->temperatures[k]];
        EACH(i) {
            const vec inverse = s->cool * vexp10(-log->v[i]);
            out->v[i] = lower(inverse, all(s->largest_inverse)) - 1.0f;
        }
        out++;
        for (int j = 0; j < s->switch_count; j++, out++)
            EACH(i) out->v[i] = vtanh((log->v[i] - s->switches[j]) / s->rate_width);
    }
    for (int k = 0; k < s->extinction_count; k++) {
        const row *log = &b->p[s->extinctions[k]];
        row dark;
        EACH(i) {
            dark.v[i] = lower(vexp10(log->v[i]), all(s->black));
            out->v[i] = 2.0f * lower(dark.v[i], all(s->opaque)) / s->opaque - 0.5f;
        }
        out++;
        for (int j = 0; j < s->shield_count; j++, out++)
            EACH(i) {
                const vec field = s->field < 0 ? all(0.0f) : b->p[s->field].v[i];
                const vec light =
                    vexp10(field - s->shields[j] * 0.43429448190f * dark.v[i]);
                out->v[i] = vlog10(light + s->dark) * 0.5f;
            }
    }
}

/* The features of the interval, of which those that are always zero are left out. */
INLINE void interval_features(const astrokeras_surrogate *s, block *b) {
    row *out = b->features;
    for (int k = 0; k < s->parameters; k++, out++)
        EACH(i)
    out->v[i] = (b->p[k].v[i] - s->parameter_offset[k]) / s->parameter_scale[k];
    if (s->use_timestep) {
        EACH(i) out->v[i] = vlog10(b->years.v[i] / s->first_step);
        out++;
    }
    if (s->exposures) exposure_features(s, b, out);
    out += s->exposures * s->level_count;
    rate_features(s, b, out);
}

/* The mean of the next latents of all cells, and the spread of these. */
INLINE void evolve(const astrokeras_surrogate *s, block *b, const row *z, row *next) {
    const int width = s->cells[0].first.out;
    product(&s->drive, b->features, b->drive, 0);
    for (int k = 0; k < s->latents; k++)
        EACH(i) next[k].v[i] = b->square[k].v[i] = all(0.0f);
    for (int m = 0; m < s->members; m++) {
        const cell *c = &s->cells[m];
        row *x = b->drive + m * width, *y = b->two;
        product(&c->first, z, x, 1);
        activate(x, width, s->cell_kind);
        for (int k = 0; k < s->inner_layers; k++) {
            product(&c->inner[k], x, y, 0);
            activate(y, c->inner[k].out, s->cell_kind);
            x = y;
            y = x == b->two ? b->one : b->two;
        }
        product(&c->last, x, b->sum, 0);
        if (s->relaxing) product(&c->rate, x, y, 0);
        for (int k = 0; k < s->latents; k++)
            EACH(i) {
                vec change = b->sum[k].v[i];
                if (s->relaxing) {
                    const vec far = s->reach * vtanh(change * (s->slope / s->reach));
                    change = vsigmoid(y[k].v[i]) * (far - z[k].v[i]);
                }
                const vec to = z[k].v[i] + change;
                const vec kept = within(to, s->bounds[k], s->bounds[s->latents + k]);
                next[k].v[i] += kept;
                b->square[k].v[i] += kept * kept;
            }
    }
    EACH(i) b->spread.v[i] = b->path.v[i] = all(0.0f);
    for (int k = 0; k < s->latents; k++)
        EACH(i) {
            const vec mean = next[k].v[i] / (float)s->members;
            const vec moved = mean - z[k].v[i];
            next[k].v[i] = mean;
            b->path.v[i] += moved * moved;
            /* Of a sum of squares rounding may leave less than nothing. */
            b->spread.v[i] += higher(b->square[k].v[i] / (float)s->members - mean * mean,
                                     all(0.0f));
        }
    EACH(i) {
        b->path.v[i] = vroot(b->path.v[i] / (float)s->latents);
        b->spread.v[i] = vroot(b->spread.v[i] / (float)s->latents);
    }
}

INLINE void totals_of(const astrokeras_surrogate *s, const row *x, row *totals) {
    for (int e = 0; e < s->elements; e++) EACH(i) totals[e].v[i] = all(0.0f);
    for (int k = 0; k < s->species; k++)
        for (int a = 4 * k; a < 4 * k + 4 && s->atom_element[a] >= 0; a++)
            EACH(i) totals[s->atom_element[a]].v[i] += s->atom_count[a] * x[k].v[i];
}

/* The largest share of an element in one molecule of species k. */
INLINE vec largest_share(const astrokeras_surrogate *s, int k, const row *inverse, int i) {
    vec most = all(1e-15f);
    for (int a = 4 * k; a < 4 * k + 4 && s->atom_element[a] >= 0; a++)
        most = higher(most, s->atom_count[a] * inverse[s->atom_element[a]].v[i]);
    return most;
}

/* Scales abundances by exp(c A mu), moves them to `moved`, and returns their totals. */
INLINE void move(const astrokeras_surrogate *s, block *b, const row *mu, row *totals) {
    row *moved = b->state;
    for (int e = 0; e < s->elements; e++) EACH(i) totals[e].v[i] = all(0.0f);
    for (int k = 0; k < s->species; k++)
        EACH(i) {
            vec sum = all(0.0f);
            const int first = 4 * k;
            int a = first;
            for (; a < first + 4 && s->atom_element[a] >= 0; a++)
                sum += s->atom_count[a] * mu[s->atom_element[a]].v[i];
            const vec y =
                b->x[k].v[i] * vexp(within(b->weight[k].v[i] * sum, -60.0f, 60.0f));
            moved[k].v[i] = y;
            while (a-- > first) totals[s->atom_element[a]].v[i] += s->atom_count[a] * y;
        }
}

/* mu += step: the residual, solved with the factors L D L^T of the scaled Jacobian. */
INLINE void newton(const astrokeras_surrogate *s, const row *wanted, const row *totals,
                   row (*factor)[MOST_ELEMENTS], const row *scales, row *mu) {
    const int n = s->elements;
    row right[MOST_ELEMENTS], most;
    EACH(i) most.v[i] = all(0.0f);
    for (int e = 0; e < n; e++)
        EACH(i) {
            const vec found = higher(totals[e].v[i], all(1e-30f));
            vec sum = scales[e].v[i] * found * vlog(wanted[e].v[i] / found);
            for (int f = 0; f < e; f++) sum -= factor[e][f].v[i] * right[f].v[i];
            right[e].v[i] = sum;
        }
    for (int e = n; e-- > 0;)
        EACH(i) {
            vec sum = right[e].v[i] / factor[e][e].v[i];
            for (int f = e + 1; f < n; f++) sum -= factor[f][e].v[i] * right[f].v[i];
            right[e].v[i] = sum;
        }
    for (int e = 0; e < n; e++)
        EACH(i) {
            right[e].v[i] *= scales[e].v[i];
            most.v[i] = higher(most.v[i], magnitude(right[e].v[i]));
        }
    for (int e = 0; e < n; e++)
        EACH(i)
    mu[e].v[i] += right[e].v[i] / higher(most.v[i] / s->limit, all(1.0f));
}

/* The factors of the Jacobian at the moved abundances. */
INLINE void factorise(const astrokeras_surrogate *s, const block *b,
                      row (*factor)[MOST_ELEMENTS], row *scales) {
    const int n = s->elements;
    for (int e = 0; e < n; e++)
        for (int f = 0; f <= e; f++) EACH(i) factor[e][f].v[i] = all(0.0f);
    for (int k = 0; k < s->species; k++)
        EACH(i) {
            const vec y = b->state[k].v[i] * b->weight[k].v[i];
            for (int a = 4 * k; a < 4 * k + 4 && s->atom_element[a] >= 0; a++)
                for (int c = 4 * k; c <= a; c++) {
                    const int e = s->atom_element[a], f = s->atom_element[c];
                    const vec term = s->atom_count[a] * s->atom_count[c] * y;
                    if (e >= f) factor[e][f].v[i] += term;
                    else factor[f][e].v[i] += term;
                }
        }
    for (int e = 0; e < n; e++)
        EACH(i) scales[e].v[i] = 1.0f / vroot(factor[e][e].v[i] + 1e-30f);
    for (int e = 0; e < n; e++)
        for (int f = 0; f <= e; f++)
            EACH(i) {
                vec sum = factor[e][f].v[i] * scales[e].v[i] * scales[f].v[i];
                if (e == f) sum += 1e-6f;
                for (int g = 0; g < f; g++)
                    sum -= factor[e][g].v[i] * factor[f][g].v[i] * factor[g][g].v[i];
                factor[e][f].v[i] = e == f ? sum : sum / factor[f][f].v[i];
            }
}

/* Gives the abundances b->x the totals that are wanted; the result is b->state. See
   layers/conservation.py. */
INLINE void conserve(const astrokeras_surrogate *s, block *b, const row *wanted) {
    row inverse[MOST_ELEMENTS], totals[MOST_ELEMENTS], mu[MOST_ELEMENTS];
    row factor[MOST_ELEMENTS][MOST_ELEMENTS], scales[MOST_ELEMENTS];
    for (int e = 0; e < s->elements; e++)
        EACH(i) {
            inverse[e].v[i] = 1.0f / wanted[e].v[i];
            mu[e].v[i] = all(0.0f);
        }
    for (int k = 0; k < s->species; k++)
        EACH(i)
    b->x[k].v[i] = lower(b->x[k].v[i], 1.0f / largest_share(s, k, inverse, i));
    totals_of(s, b->x, totals);
    for (int e = 0; e < s->elements; e++)
        EACH(i) inverse[e].v[i] = 1.0f / higher(totals[e].v[i], all(1e-30f));
    for (int k = 0; k < s->species; k++)
        EACH(i) {
            const vec share =
                within(b->x[k].v[i] * largest_share(s, k, inverse, i), 1e-30f, 1.0f);
            b->weight[k].v[i] = vexp(s->power * vlog(share));
        }
    for (int n = 0; n < s->newton_steps - 1; n++) {
        move(s, b, mu, totals);
        factorise(s, b, factor, scales);
        newton(s, wanted, totals, factor, scales, mu);
    }
    move(s, b, mu, totals);
    if (s->newton_steps > 1) newton(s, wanted, totals, factor, scales, mu);
    move(s, b, mu, totals);
    for (int k = 0; k < s->species; k++)
        EACH(i) b->state[k].v[i] = higher(b->state[k].v[i], all(2e-38f));
}

#endif

/* Rivals in C with OpenMP. Compiled when a race is run: cc -O3 -march=native -fopenmp (see _compiled.py).

   Rows: agent i's links are neighbours[starts[i]] ... neighbours[starts[i + 1] - 1].
   Slices: agents of like degree 16 by 16, link k of 16 agents side by side (see Slices in _networks.py).
   b: contributions; u: utilities, what agents receive; theta: damping, 1 for none. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
/* Vectors as wide as the processor's: wider ones are taken apart number by number. */
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define AT_ONCE (BYTES / 4)
typedef float lanes __attribute__((vector_size(BYTES)));
typedef int32_t places __attribute__((vector_size(BYTES)));
typedef int64_t pairs __attribute__((vector_size(BYTES)));

static inline lanes load(const float *x) { lanes v; memcpy(&v, x, sizeof v); return v; }
static inline void store(float *x, lanes v) { memcpy(x, &v, sizeof v); }
static inline lanes where(places mask, lanes x) { return (lanes)((places)x & mask); }
static inline lanes positive(lanes x) { return where(x > 0, x); }
static inline int any(places mask) {
    int64_t found = 0;
    for (int n = 0; n < BYTES / 8; n++) found |= ((pairs)mask)[n];
    return found != 0;
}
static inline lanes gather(const float *x, const int32_t *at) {
    float v[AT_ONCE] __attribute__((aligned(64)));
    for (int l = 0; l < AT_ONCE; l++) v[l] = x[at[l]];
    return load(v);
}

/* -- proportional response -------------------------------------------------------------------------------- */

/* Undamped, as a scaling: p' = b / (A p), A the 0/1 pattern. Four bytes a link end and round. */
void pr_pattern(int32_t n, const int32_t *starts, const int32_t *neighbours, const float *b, float *p,
                float *next, int32_t rounds) {
    for (int t = 0; t < rounds; t++) {
#pragma omp parallel for schedule(static)
        for (int32_t i = 0; i < n; i++) {
            float sum = 0;
            for (int32_t e = starts[i]; e < starts[i + 1]; e++) sum += p[neighbours[e]];
            next[i] = b[i] / sum;
        }
        float *swap = p; p = next; next = swap;
    }
}

/* The same with the start's values: p' = b / (K p), K the start and its transpose by turns. */
void pr_values(int32_t n, const int32_t *starts, const int32_t *neighbours, const float *even,
               const float *odd, const float *b, float *p, float *next, int32_t rounds) {
    for (int t = 0; t < rounds; t++) {
        const float *k = t % 2 ? odd : even;
#pragma omp parallel for schedule(static)
        for (int32_t i = 0; i < n; i++) {
            float sum = 0;
            for (int32_t e = starts[i]; e < starts[i + 1]; e++) sum += k[e] * p[neighbours[e]];
            next[i] = b[i] / sum;
        }
        float *swap = p; p = next; next = swap;
    }
}

/* Damped, both copies of the flow kept: y what i gives, z what i gets; s = b / u. */
void pr_damped(int32_t n, const int32_t *starts, const int32_t *neighbours, const float *b, float theta,
               float *y, float *z, float *s, float *next, float *u, int32_t rounds) {
    const float stay = 1 - theta;
    for (int t = 0; t < rounds; t++) {
#pragma omp parallel for schedule(static)
        for (int32_t i = 0; i < n; i++) {
            const float own = theta * s[i];
            float sum = 0;
            for (int32_t e = starts[i]; e < starts[i + 1]; e++) {
                const float gives = y[e], gets = z[e];
                y[e] = stay * gives + own * gets;
                z[e] = stay * gets + theta * s[neighbours[e]] * gives;
                sum += z[e];
            }
            u[i] = sum;
            next[i] = b[i] / sum;
        }
        float *swap = s; s = next; next = swap;
    }
}

/* Every agent's link sums, one slice of 16. */
static inline void pr_slice(int32_t t, const int32_t *first, const int32_t *neighbours, const float *b,
                            const float *p, float *next) {
    for (int32_t at = LANES * t, h = 0; h < LANES; h += AT_ONCE) {
        lanes sum = {0};
        for (int32_t k = first[t]; k < first[t + 1]; k++) sum += gather(p, neighbours + LANES * k + h);
        store(next + at + h, where(sum > 0, load(b + at + h) / sum));
    }
}

/* pr_pattern over slices. */
void pr_sliced(int32_t slices, const int32_t *first, const int32_t *neighbours, const float *b, float *p,
               float *next, int32_t rounds) {
    for (int r = 0; r < rounds; r++) {
#pragma omp parallel for schedule(static)
        for (int32_t t = 0; t < slices; t++) pr_slice(t, first, neighbours, b, p, next);
        float *swap = p; p = next; next = swap;
    }
}

/* pr_pattern, market after market: a market's rounds stay in the cache of one core. */
void pr_markets(int32_t markets, const int32_t *market_starts, const int32_t *starts,
                const int32_t *neighbours, const float *b, float *p, float *next, int32_t rounds) {
#pragma omp parallel for schedule(dynamic, 16)
    for (int32_t m = 0; m < markets; m++) {
        float *from = p, *to = next;
        for (int r = 0; r < rounds; r++) {
            for (int32_t i = market_starts[m]; i < market_starts[m + 1]; i++) {
                float sum = 0;
                for (int32_t e = starts[i]; e < starts[i + 1]; e++) sum += from[neighbours[e]];
                to[i] = b[i] / sum;
            }
            float *swap = from; from = to; to = swap;
        }
    }
}

/* The same over slices, a chunk of markets at a time. */
void pr_chunks(int32_t num_chunks, const int32_t *chunks, const int32_t *first, const int32_t *neighbours,
               const float *b, float *p, float *next, int32_t rounds) {
#pragma omp parallel for schedule(dynamic, 1)
    for (int32_t c = 0; c < num_chunks; c++) {
        float *from = p, *to = next;
        for (int r = 0; r < rounds; r++) {
            for (int32_t t = chunks[c]; t < chunks[c + 1]; t++) pr_slice(t, first, neighbours, b, from, to);
            float *swap = from; from = to; to = swap;
        }
    }
}

/* -- water-filling ------------------------------------------------------------------------------------------ */

/* The level at which sum_k max(0, w_k level - c_k) = b, of some agents: Newton's method, exact once nothing
   falls any more. From a level of the last round (warm, >= 0) or from above. Columns are LANES apart. */
static inline lanes water_level(int32_t width, const float *w, const float *c, lanes b, lanes warm) {
    lanes level = warm;
    for (int step = 0; step < width + 8; step++) {
        lanes capacity = {0}, held = {0}, all_w = {0}, all_c = {0};
        for (int32_t k = 0; k < width; k++) {
            const lanes weight = load(w + LANES * k), base = load(c + LANES * k);
            const places receives = weight * level > base;
            capacity += where(receives, weight);
            held += where(receives, base);
            if (step == 0) all_w += weight, all_c += base;
        }
        if (step == 0) { /* a level too low for anybody says nothing: start with all */
            const places nobody = capacity <= 0;
            capacity += where(nobody, all_w);
            held += where(nobody, all_c);
        }
        const lanes next = where(capacity > 0, (b + held) / capacity);
        if (step > 0 && !any(next < level)) break;
        level = next;
    }
    return level;
}

/* What the level lacks, as the engine has it: twice more in terms of what is needed to be lifted to it. */
static inline lanes rest_of(int32_t width, const float *w, const float *c, lanes b, lanes level) {
    const float margin = 8 * 1.1920929e-7f;
    lanes rest = {0};
    for (int step = 0; step < 2; step++) {
        lanes capacity = {0}, held = {0};
        for (int32_t k = 0; k < width; k++) {
            const lanes weight = load(w + LANES * k), base = load(c + LANES * k), needed = base - weight * level;
            const places receives = weight * rest > (step ? needed : needed - margin * base);
            capacity += where(receives, weight);
            held += where(receives, needed);
        }
        const lanes next = where(capacity > 0, (b + held) / capacity);
        const places falls = next < rest;
        rest = step ? (lanes)(((places)next & falls) | ((places)rest & ~falls)) : next;
    }
    return rest;
}

static inline lanes full_level(int32_t width, const float *w, const float *c, lanes b) {
    lanes capacity = {0}, held = {0};
    for (int32_t k = 0; k < width; k++) capacity += load(w + LANES * k), held += load(c + LANES * k);
    return where(capacity > 0, (b + held) / capacity);
}

/* Rows alone: w, c and the answer y as [slice][width][16]. */
void water_fill(int32_t slices, int32_t width, const float *b, const float *w, const float *c, float *y) {
#pragma omp parallel for schedule(static)
    for (int32_t t = 0; t < slices; t++)
        for (int32_t h = 0; h < LANES; h += AT_ONCE) {
            const size_t at = (size_t)t * width * LANES + h;
            const lanes budget = load(b + LANES * t + h);
            lanes level = full_level(width, w + at, c + at, budget);
            level = water_level(width, w + at, c + at, budget, level);
            for (int32_t k = 0; k < width; k++)
                store(y + at + LANES * k,
                      positive(load(w + at + LANES * k) * level - load(c + at + LANES * k)));
        }
}

/* -- CMAP --------------------------------------------------------------------------------------------------- */

/* Levels of a slice, and what its agents give: y' = (1 - theta) y + theta max(0, level w_j - (u_j - y)).
   wu holds w_j and u_j side by side: one place in memory for both. level holds a number per agent, the level
   of the last round to start from; or, with `two`, two: the level, found from above, and what it lacks. */
static inline void cmap_give(
    int two, int32_t t, const int32_t *first, const int32_t *neighbours, const float *b, float theta,
    const float *wu, float *y, float *level, float *scratch) {
    const int32_t width = first[t + 1] - first[t];
    for (int32_t h = 0; h < LANES; h += AT_ONCE) {
        const size_t at = (size_t)LANES * first[t] + h, who = LANES * (size_t)t + h;
        float *w = scratch, *c = scratch + LANES * width;
        for (int32_t k = 0; k < width; k++) {
            float weight[AT_ONCE] __attribute__((aligned(64))), utility[AT_ONCE] __attribute__((aligned(64)));
            for (int l = 0; l < AT_ONCE; l++) {
                const float *j = wu + 2 * (size_t)neighbours[at + LANES * k + l];
                weight[l] = j[0];
                utility[l] = j[1];
            }
            store(w + LANES * k, load(weight));
            store(c + LANES * k, positive(load(utility) - load(y + at + LANES * k)));
        }
        const lanes budget = load(b + who), cold = {0};
        const lanes found = water_level(width, w, c, budget, two ? cold : load(level + who));
        const lanes rest = two ? rest_of(width, w, c, budget, found) : cold;
        if (two)
            for (int l = 0; l < AT_ONCE; l++) level[2 * (who + l)] = found[l], level[2 * (who + l) + 1] = rest[l];
        else
            store(level + who, found);
        for (int32_t k = 0; k < width; k++) {
            const lanes weight = load(w + LANES * k), base = load(c + LANES * k);
            const lanes answer = positive(two ? weight * rest - (base - weight * found) : weight * found - base);
            float *own = y + at + LANES * k;
            store(own, (1 - theta) * load(own) + theta * answer);
        }
    }
}

/* What its agents get, from the givers' levels alone, and its utilities. */
static inline void cmap_get(int two, int32_t t, const int32_t *first,
                                                           const int32_t *neighbours, const float *b,
                                                           float theta, float *wu, float *z, const float *level) {
    for (int32_t h = 0; h < LANES; h += AT_ONCE) {
        const size_t who = LANES * (size_t)t + h;
        const lanes weight = load(b + who);
        lanes utility, sum = {0};
        for (int l = 0; l < AT_ONCE; l++) utility[l] = wu[2 * (who + l) + 1];
        for (int32_t k = first[t]; k < first[t + 1]; k++) {
            float *own = z + (size_t)LANES * k + h;
            const int32_t *at = neighbours + (size_t)LANES * k + h;
            const lanes before = load(own), base = positive(utility - before);
            lanes answer;
            if (two) {
                float coarse[AT_ONCE] __attribute__((aligned(64))), fine[AT_ONCE] __attribute__((aligned(64)));
                for (int l = 0; l < AT_ONCE; l++) {
                    const float *posted = level + 2 * (size_t)at[l];
                    coarse[l] = posted[0], fine[l] = posted[1];
                }
                answer = weight * load(fine) - (base - weight * load(coarse));
            } else
                answer = gather(level, at) * weight - base;
            const lanes after = (1 - theta) * before + theta * positive(answer);
            store(own, after);
            sum += after;
        }
        for (int l = 0; l < AT_ONCE; l++) wu[2 * (who + l) + 1] = sum[l];
    }
}

static float *scratch_of(int32_t slices, const int32_t *first) {
    int32_t widest = 0;
    for (int32_t t = 0; t < slices; t++)
        if (first[t + 1] - first[t] > widest) widest = first[t + 1] - first[t];
    return aligned_alloc(64, (size_t)2 * LANES * 4 * (widest + 1));
}

/* Whole rounds of one large market. level: of the last round, or zero; two numbers per agent with `two`. */
void cmap_rounds(int32_t two, int32_t slices, const int32_t *first, const int32_t *neighbours, const float *b,
                 float theta, float *wu, float *y, float *z, float *level, int32_t rounds) {
#pragma omp parallel
    {
        float *scratch = scratch_of(slices, first);
        for (int r = 0; r < rounds; r++) {
#pragma omp for schedule(static)
            for (int32_t t = 0; t < slices; t++)
                cmap_give(two, t, first, neighbours, b, theta, wu, y, level, scratch);
#pragma omp for schedule(static)
            for (int32_t t = 0; t < slices; t++) cmap_get(two, t, first, neighbours, b, theta, wu, z, level);
        }
        free(scratch);
    }
}

/* Whole rounds of an ensemble: a core plays all rounds of a chunk of markets, which fits its cache. */
void cmap_chunks(int32_t two, int32_t num_chunks, const int32_t *chunks, const int32_t *first,
                 const int32_t *neighbours, const float *b, float theta, float *wu, float *y, float *z, float *level,
                 int32_t rounds) {
#pragma omp parallel
    {
        float *scratch = scratch_of(chunks[num_chunks], first);
#pragma omp for schedule(dynamic, 1)
        for (int32_t m = 0; m < num_chunks; m++)
            for (int r = 0; r < rounds; r++) {
                for (int32_t t = chunks[m]; t < chunks[m + 1]; t++)
                    cmap_give(two, t, first, neighbours, b, theta, wu, y, level, scratch);
                for (int32_t t = chunks[m]; t < chunks[m + 1]; t++)
                    cmap_get(two, t, first, neighbours, b, theta, wu, z, level);
            }
        free(scratch);
    }
}

/* -- the floor ---------------------------------------------------------------------------------------------- */

/* A copy, shared among the cores. */
void copy_all(int64_t bytes, const char *from, char *to) {
    const int64_t piece = 1 << 16;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < bytes; at += piece)
        memcpy(to + at, from + at, (size_t)(bytes - at < piece ? bytes - at : piece));
}

/*
 * xoshiro256** 1.0 (D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", 2018), seeded
 * by splitmix64 as its authors advise. Only operations that IEEE 754 rounds exactly are used, and this file
 * is compiled without fused multiply-adds: the same seed gives the same numbers on every machine.
 */
#include "base/rng.h"

#include "base/clock.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

void crn_rng_init(struct crn_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) rng->state[i] = splitmix64(&seed);
}

uint64_t crn_rng_u64(struct crn_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* D. Lemire, "Fast random integer generation in an interval", 2019: the high half of a product, and a new
 * draw for the few low halves that would favour some results. */
uint64_t crn_rng_below(struct crn_rng *rng, uint64_t bound)
{
    uint64_t reject_below = -bound % bound; /* 2^64 mod bound */
    unsigned __int128 product;

    do {
        product = (unsigned __int128)crn_rng_u64(rng) * bound;
    } while ((uint64_t)product < reject_below);
    return (uint64_t)(product >> 64);
}

double crn_rng_unit(struct crn_rng *rng)
{
    return (double)(crn_rng_u64(rng) >> 11) * 0x1p-53;
}

/* ln x for normal x > 0, to about 2e-16; the C library's last bit differs from machine to machine. With x =
 * m * 2^e and m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh(z) with |z| < 0.172: 11 terms of the series. */
static double natural_log(double x)
{
    int exponent;
    double m = frexp(x, &exponent);

    if (m < 0.70710678118654752) {
        m *= 2;
        exponent--;
    }
    double z = (m - 1) / (m + 1);
    double z2 = z * z;
    double sum = 0;
    for (int n = 21; n >= 1; n -= 2) sum = sum * z2 + 1.0 / n;
    return exponent * 0.69314718055994531 + 2 * z * sum;
}

/* Marsaglia's polar method (1964). Its second result is dropped: the state is the four words alone. */
double crn_rng_normal(struct crn_rng *rng)
{
    double x, y, square;

    do {
        x = 2 * crn_rng_unit(rng) - 1;
        y = 2 * crn_rng_unit(rng) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    return x * sqrt(-2 * natural_log(square) / square);
}

void crn_rng_entropy(unsigned char out[16])
{
    if (getentropy(out, 16) == 0) return;

    static _Atomic uint64_t calls; /* relaxed: only distinctness counts */
    uint64_t seed = crn_clock_ns() ^ ((uint64_t)crn_clock_ms() << 32) ^ (uint64_t)(uintptr_t)&seed;
    seed += atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) * 0xD1342543DE82EF95u;
    uint64_t words[2] = {splitmix64(&seed), splitmix64(&seed)};
    memcpy(out, words, sizeof words);
}

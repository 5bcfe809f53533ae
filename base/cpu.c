/* What this processor can do. The environment may lower what was found, never raise it. */
#include "base/cpu.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const level_names[] = {
    [CRN_CPU_SCALAR] = "scalar",
    [CRN_CPU_AVX2] = "avx2",
    [CRN_CPU_AVX512] = "avx512",
    [CRN_CPU_NEON] = "neon",
};

#define LEVEL_COUNT (sizeof level_names / sizeof level_names[0])

#if defined(__x86_64__)
/* clang's __builtin_cpu_supports does not know F16C. */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

static enum crn_cpu_level detect(void)
{
    __builtin_cpu_init(); /* looks at what the operating system saves, too */
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512vnni");

    if (!avx2) return CRN_CPU_SCALAR;
    return avx512 ? CRN_CPU_AVX512 : CRN_CPU_AVX2;
}
#elif defined(__aarch64__)
static enum crn_cpu_level detect(void)
{
    return CRN_CPU_NEON; /* part of the architecture */
}
#else
static enum crn_cpu_level detect(void)
{
    return CRN_CPU_SCALAR;
}
#endif

/* Names of other architectures and unknown ones change nothing. */
static enum crn_cpu_level lowered(enum crn_cpu_level found, const char *wish)
{
    for (unsigned level = 0; wish != NULL && level < LEVEL_COUNT; level++) {
        if (strcmp(wish, level_names[level]) != 0) continue;
        if (level == CRN_CPU_SCALAR) return CRN_CPU_SCALAR;
        if (found != CRN_CPU_NEON && level < found) return (enum crn_cpu_level)level;
    }
    return found;
}

enum crn_cpu_level crn_cpu_level(void)
{
    /* Relaxed: whoever is first stores what all others would. */
    static _Atomic int known = -1;
    int level = atomic_load_explicit(&known, memory_order_relaxed);

    if (level < 0) {
        level = (int)lowered(detect(), getenv("CAIRN_CPU"));
        atomic_store_explicit(&known, level, memory_order_relaxed);
    }
    return (enum crn_cpu_level)level;
}

const char *crn_cpu_level_name(enum crn_cpu_level level)
{
    return (size_t)level < LEVEL_COUNT ? level_names[level] : "unknown";
}

bool crn_cpu_has_avx512_bits(void)
{
#if defined(__x86_64__)
    return crn_cpu_level() == CRN_CPU_AVX512 && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vpopcntdq");
#else
    return false;
#endif
}

unsigned crn_cpu_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0) return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than cpu_set_t holds */
    return online > 0 ? (unsigned)online : 1;
}

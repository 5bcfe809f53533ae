/* The CPU's level, and how the environment lowers it. It is found once a process: each case runs its own. */
#include "base/cpu.h"

#include "tests/base/support.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

/* The level a process finds with CAIRN_CPU set to `wish` (NULL: unset). */
static enum crn_cpu_level level_with(const char *wish)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (wish != NULL) {
            setenv("CAIRN_CPU", wish, 1);
        } else {
            unsetenv("CAIRN_CPU");
        }
        execl("/proc/self/exe", "base_cpu", "level", (char *)NULL);
        _exit(99);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum crn_cpu_level)WEXITSTATUS(status);
}

static void the_environment_lowers(void **state)
{
    enum crn_cpu_level found = level_with(NULL);

    (void)state;
    assert_in_range(found, CRN_CPU_SCALAR, CRN_CPU_NEON);
    assert_int_equal(level_with("scalar"), CRN_CPU_SCALAR);
    assert_int_equal(level_with(crn_cpu_level_name(found)), found);
    assert_int_equal(level_with("avx2"), found == CRN_CPU_AVX512 ? CRN_CPU_AVX2 : found);
}

static void the_environment_never_raises(void **state)
{
    enum crn_cpu_level found = level_with(NULL);

    (void)state;
    assert_int_equal(level_with("avx512"), found);
    assert_int_equal(level_with("neon"), found);
    assert_int_equal(level_with(""), found);
    assert_int_equal(level_with("AVX2"), found);
    assert_int_equal(level_with("nonsense"), found);
}

static void the_level_is_that_of_the_architecture(void **state)
{
    enum crn_cpu_level found = level_with(NULL);

    (void)state;
#if defined(__x86_64__)
    assert_int_not_equal(found, CRN_CPU_NEON);
    if (found != CRN_CPU_SCALAR) assert_true(__builtin_cpu_supports("avx2"));
    if (found == CRN_CPU_AVX512) assert_true(__builtin_cpu_supports("avx512vnni"));
#elif defined(__aarch64__)
    assert_int_equal(found, CRN_CPU_NEON);
#else
    assert_int_equal(found, CRN_CPU_SCALAR);
#endif
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(crn_cpu_level_name(CRN_CPU_SCALAR), "scalar");
    assert_string_equal(crn_cpu_level_name(CRN_CPU_AVX2), "avx2");
    assert_string_equal(crn_cpu_level_name(CRN_CPU_AVX512), "avx512");
    assert_string_equal(crn_cpu_level_name(CRN_CPU_NEON), "neon");
    assert_string_equal(crn_cpu_level_name((enum crn_cpu_level)77), "unknown");
}

static void the_count_follows_the_affinity(void **state)
{
    cpu_set_t before, one;
    int first = 0;

    (void)state;
    if (sched_getaffinity(0, sizeof before, &before) != 0) {
        print_message("skipped: no affinity to read\n");
        skip();
    }
    assert_int_equal(crn_cpu_count(), CPU_COUNT(&before));
    while (!CPU_ISSET(first, &before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(crn_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

/* What the processes of level_with run. */
static int level_as_exit_status(void)
{
    enum crn_cpu_level level = crn_cpu_level();

    setenv("CAIRN_CPU", "scalar", 1); /* too late */
    return crn_cpu_level() == level ? (int)level : 98;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "level") == 0) return level_as_exit_status();

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_lowers),
        cmocka_unit_test(the_environment_never_raises),
        cmocka_unit_test(the_level_is_that_of_the_architecture),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(the_count_follows_the_affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

"""The benchmark: neod beside the raw limit, on the real kernel, judged by the kernel.

No benchmark is a test, and no test is a benchmark: nothing here fails for
being slow. Times are CLOCK_MONOTONIC_RAW; compare ratios of one run.
"""

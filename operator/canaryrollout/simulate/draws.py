"""Random counts in plain Python, exact for every mean: numpy would be the only use of a large dependency."""

import math
from random import Random

_FEW = 12.0
"""Below this mean, multiplying uniforms is quicker than rejection."""


def poisson(rng: Random, mean: float) -> int:
    """A Poisson count. Above a small mean: Hörmann's PTRS, "The transformed rejection method" (1993)."""
    if mean < _FEW:
        return _poisson_of_few(rng, mean)
    root = math.sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    scale = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    while True:
        u = rng.random() - 0.5
        v = rng.random()
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v * scale / (a / (us * us) + b)) <= k * log_mean - mean - math.lgamma(k + 1.0):
            return k


def _poisson_of_few(rng: Random, mean: float) -> int:
    if mean <= 0.0:
        return 0
    floor = math.exp(-mean)
    product = rng.random()
    k = 0
    while product > floor:
        product *= rng.random()
        k += 1
    return k


def binomial(rng: Random, n: int, p: float) -> int:
    """How many of `n` independent things of chance `p` happen. Halves the range at a Beta order statistic while it is large.

    The k-th smallest of n uniforms is Beta(k, n + 1 - k): it splits the count exactly (Devroye, 1986, X.4.3).
    """
    if p >= 1.0:
        return n
    found = 0
    while n > 20 and p > 0.0:
        k = (n + 1) // 2
        split = rng.betavariate(k, n + 1 - k)
        if split <= p:
            found += k
            n -= k
            p = (p - split) / (1.0 - split)
        else:
            n = k - 1
            p = p / split
    if p <= 0.0:
        return found
    return found + sum(rng.random() < p for _ in range(n))

"""Height and slope of each surface, once, in the words of rules; `reference` runs this text and so does the page.

A surface reads as an element function: x and y come in, the height h and its slopes dx and dy go out. Only operations
that every engine rounds alike are in it, so that a run has the same bits everywhere: cosines are series, and a cliff is
a root. What depends on the step (`turn`, 1 in one step of `every`) is in the slopes alone; the height is that of the
mean over steps.
"""

from thalweg.rule.words import sqrt


def saddle(x, y, h, dx, dy):
    w = y * y - 1.0
    h = x * x / 2.0 + w * w / 4.0
    dx = x + 0.0
    dy = w * y
    return x, h, dx, dy


def ravine(x, y, h, dx, dy, *, condition, cosine, sine):
    u = cosine * x + sine * y
    w = cosine * y - sine * x
    h = (u * u + condition * w * w) / 2.0
    dx = cosine * u - sine * condition * w
    dy = sine * u + cosine * condition * w
    return x, h, dx, dy


def rosenbrock(x, y, h, dx, dy):
    a = 1.0 - x
    b = y - x * x
    h = a * a + 100.0 * b * b
    dx = -2.0 * a - 400.0 * x * b
    dy = 200.0 * b
    return x, h, dx, dy


def beale(x, y, h, dx, dy):
    a = 1.5 - x + x * y
    b = 2.25 - x + x * y * y
    c = 2.625 - x + x * y * y * y
    h = a * a + b * b + c * c
    dx = 2.0 * (a * (y - 1.0) + b * (y * y - 1.0) + c * (y * y * y - 1.0))
    dy = 2.0 * x * (a + 2.0 * b * y + 3.0 * c * y * y)
    return x, h, dx, dy


def himmelblau(x, y, h, dx, dy):
    a = x * x + y - 11.0
    b = x + y * y - 7.0
    h = a * a + b * b
    dx = 4.0 * a * x + 2.0 * b
    dy = 2.0 * a + 4.0 * b * y
    return x, h, dx, dy


def rastrigin(x, y, h, dx, dy, *, pi, ten, large):
    r = pi * (x - ((x + large) - large))
    q = pi * (y - ((y + large) - large))
    z = r * r
    s = r * (
        1.0
        - z
        / 6.0
        * (
            1.0
            - z
            / 20.0
            * (
                1.0
                - z
                / 42.0
                * (
                    1.0
                    - z
                    / 72.0
                    * (
                        1.0
                        - z
                        / 110.0
                        * (
                            1.0
                            - z / 156.0 * (1.0 - z / 210.0 * (1.0 - z / 272.0 * (1.0 - z / 342.0 * (1.0 - z / 420.0))))
                        )
                    )
                )
            )
        )
    )
    c = 1.0 - z / 2.0 * (
        1.0
        - z
        / 12.0
        * (
            1.0
            - z
            / 30.0
            * (
                1.0
                - z
                / 56.0
                * (
                    1.0
                    - z
                    / 90.0
                    * (1.0 - z / 132.0 * (1.0 - z / 182.0 * (1.0 - z / 240.0 * (1.0 - z / 306.0 * (1.0 - z / 380.0)))))
                )
            )
        )
    )
    w = q * q
    t = q * (
        1.0
        - w
        / 6.0
        * (
            1.0
            - w
            / 20.0
            * (
                1.0
                - w
                / 42.0
                * (
                    1.0
                    - w
                    / 72.0
                    * (
                        1.0
                        - w
                        / 110.0
                        * (
                            1.0
                            - w / 156.0 * (1.0 - w / 210.0 * (1.0 - w / 272.0 * (1.0 - w / 342.0 * (1.0 - w / 420.0))))
                        )
                    )
                )
            )
        )
    )
    d = 1.0 - w / 2.0 * (
        1.0
        - w
        / 12.0
        * (
            1.0
            - w
            / 30.0
            * (
                1.0
                - w
                / 56.0
                * (
                    1.0
                    - w
                    / 90.0
                    * (1.0 - w / 132.0 * (1.0 - w / 182.0 * (1.0 - w / 240.0 * (1.0 - w / 306.0 * (1.0 - w / 380.0)))))
                )
            )
        )
    )
    h = x * x + y * y + 2.0 * ten * (s * s + t * t)
    dx = 2.0 * x + 4.0 * pi * ten * s * c
    dy = 2.0 * y + 4.0 * pi * ten * t * d
    return x, h, dx, dy


def quartic(x, y, h, dx, dy):
    h = x * x * x * x + y * y * y * y
    dx = 4.0 * x * x * x
    dy = 4.0 * y * y * y
    return x, h, dx, dy


def fourth(x, y, h, dx, dy):
    h = x * x * x * x
    dx = 4.0 * x * x * x
    dy = 0.0 * y
    return x, h, dx, dy


def cliff(x, y, h, dx, dy, *, steepness):
    t = steepness * (x - 1.0)
    q = 1.0 + t * t
    r = sqrt(q)
    u = x + 2.0
    h = 1.0 + t / r + 0.02 * u * u + 0.1 * y * y
    dx = steepness / (q * r) + 0.04 * u
    dy = 0.2 * y
    return x, h, dx, dy


def sparse(x, y, h, dx, dy, *, every, turn):
    h = (x * x + y * y) / 2.0
    dx = x + 0.0
    dy = every * turn * y
    return x, h, dx, dy


def counterexample(x, y, h, dx, dy, *, slope, mean):
    h = mean * (x + 1.0)
    dx = slope + 0.0 * x
    dy = 0.0 * y
    return x, h, dx, dy

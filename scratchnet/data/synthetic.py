"""A synthetic stand-in for Fashion-MNIST: pictures of ten kinds of clothes, drawn by code, for use without a network.

The arrays have the same shapes, types and classes as the real ones, and are about as hard for a small network. A
garment is a *signed distance* (negative inside, positive outside, about 1 for half the picture) and a *shade* (1 is the
cloth's own brightness). The minimum of two distances is the union of the shapes, the maximum their intersection. The
classes differ in the ranges from which their measures are drawn. Where the ranges overlap (a coat without a zip, a
shirt with short sleeves), no classifier can tell the classes apart. That makes the task hard; no label is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIDE = 28  # pixels
CHUNK = 100  # images drawn at once, few enough for the cache; changing it changes the images
GRID = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / (SIDE / 2)  # pixel centres, −0.96 … 0.96

Uniform = Callable[[float, float], np.ndarray]  # u(low, high): one random number per image, (m, 1, 1) float32
Drawing = tuple[np.ndarray, np.ndarray]  # outline (a signed distance) and shade, both (m, 28, 28)


def load(
    *, train: int = 60_000, test: int = 10_000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (training images, training labels, test images, test labels), all uint8.

    Shapes: (train, 28, 28), (train,), (test, 28, 28), (test,). The training and the test images are drawn from two
    separate random streams. Drawing takes about two seconds and shows a progress bar on a terminal.
    """
    from tqdm import tqdm

    _check(train)
    _check(test)
    train_stream, test_stream = np.random.SeedSequence(seed).spawn(2)
    with tqdm(total=train + test, desc="drawing clothes", unit="image", disable=None) as bar:
        images, labels = _draw(train, np.random.default_rng(train_stream), bar.update)
        test_images, test_labels = _draw(test, np.random.default_rng(test_stream), bar.update)
    return images, labels, test_images, test_labels


def draw(n: int, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw `n` images (n, 28, 28) and return them with their labels (n,), both uint8, in random order.

    A pixel of 0 is the background, one of 255 the brightest. Every class gets n/10 images; if 10 does not divide n,
    some classes get one image more than the others.
    """
    _check(n)
    return _draw(n, rng, lambda m: None)


def _check(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"expected an integer ≥ 0 as the number of images to draw, got {n!r}")


def _draw(n: int, rng: np.random.Generator, drawn: Callable[[int], object]) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(n) % len(GARMENTS)).astype(np.uint8)
    images = np.empty((n, SIDE, SIDE), np.uint8)
    for label, garment in enumerate(GARMENTS):
        places = np.flatnonzero(labels == label)
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            images[chunk] = _render(garment, len(chunk), rng)
            drawn(len(chunk))
    return images, labels


def _render(garment: Callable[[Uniform], Drawing], m: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `m` pictures (m, 28, 28) of one garment: its outline times dye, shade and a coarse grain."""

    def u(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (m, 1, 1)).astype(np.float32)

    outline, shade = garment(u)
    dye = 1.05 - 0.85 * u(0, 1) ** 2  # most clothes are bright, some are nearly black
    noise = rng.random((m, SIDE + 1, SIDE), np.float32)
    grain = 0.06 + 1.1 * u(0, 1) ** 7
    cloth = dye * shade * (1 - grain + grain * (noise[:, 1:] + noise[:, :-1]))
    return (255 * inside(outline) * np.clip(cloth, 0.02, 1)).astype(np.uint8)


# Shapes. x grows to the right and y downwards.


def hanging(u: Uniform) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates x (m, 28, 28) and y (m, 28, 1) of hanging garments, randomly shifted, scaled and sheared."""
    y = (GRID[:, None] - u(-0.04, 0.04)) / u(0.95, 1.05)
    x = (GRID - u(-0.05, 0.05)) / u(0.9, 1.1) + u(-0.05, 0.05) * y
    return x, y


def inside(distance: np.ndarray, blur: float = 1.0) -> np.ndarray:
    """Return 1 inside and 0 outside, with a linear transition at the edge that is `blur` pixels wide."""
    return np.clip(0.5 - distance * (SIDE / 2 / blur), 0, 1)


def ramp(t: np.ndarray, start: float | np.ndarray, stop: float | np.ndarray) -> np.ndarray:
    """Return 0 before `start`, 1 after `stop`, and a smooth rise from 0 to 1 between them."""
    s = np.clip((t - start) / (stop - start), 0, 1)
    return s * s * (3 - 2 * s)


def pattern(x: np.ndarray, y: np.ndarray, u: Uniform, *, stripes: float = 0.0, checks: float = 0.0) -> np.ndarray:
    """Return the shade of the cloth: vertical folds, and on some garments stripes or checks up to the given depth."""
    folds = u(0, 0.15) * np.sin(u(4, 14) * x + u(-2, 2) * y + u(0, 6.3))
    across = np.sign(np.sin(u(8, 22) * y + u(0, 6.3)))
    along = np.sign(np.sin(u(12, 22) * x))
    return 0.9 + folds + stripes * u(0, 1) ** 6 * across + checks * u(0, 1) ** 6 * (across + along)


def top(
    u: Uniform,
    *,
    cuff: np.ndarray,  # y where the sleeves end
    hem: np.ndarray,  # y where the body ends
    width: np.ndarray,  # of half the body
    flare: np.ndarray,  # how much wider it is at the hem
    neck: np.ndarray,  # depth of the neckline
    spread: np.ndarray,  # how far the sleeves stand out
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y, outline and shade of a garment with shoulders: its body, neckline and sleeves, and their seams."""
    x, y = hanging(u)
    a = np.abs(x)
    collar = u(-1.0, -0.9) - y
    shoulders = collar + u(0.25, 0.55) * (a - 0.2)
    neckline = collar + neck * (1 - (a / u(0.2, 0.3)) ** 2)
    side = width - u(0, 0.1) * (1 - np.abs(y)) + flare * ramp(y, -0.3, 1.0)  # narrower at the waist
    body = np.maximum(a - side, y - hem)
    arm = width + 0.03 + spread * ramp(y, -1.0, 0.5)
    sleeve = np.maximum(np.abs(a - arm) - u(0.12, 0.18), y + spread * (a - arm) - cuff)
    outline = np.maximum(np.minimum(body, sleeve), np.maximum(shoulders, neckline))
    seam = np.maximum(np.abs(a - np.maximum(side, arm - 0.15)) - 0.02, np.maximum(-0.6 - y, y - cuff))
    return x, y, outline, 1 - u(-0.1, 0.5) * inside(seam, 2)


def shoe(
    u: Uniform, *, shaft: np.ndarray, heel: np.ndarray, instep: np.ndarray, toe: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return x (m, 1, 28), the height above the sole's underside, outline and shade of a shoe that points left.

    `shaft`, `instep` and `toe` are its heights at ankle, instep and toe, and `heel` is the height of the heel below it.
    """
    x = (GRID[None, :] - u(-0.03, 0.03)) / u(0.97, 1.05)
    up = (shaft + heel) / 2 + u(-0.05, 0.05) - GRID[:, None] + u(-0.03, 0.03) * x  # above the ground
    above = up - heel * ramp(x, -0.5, u(0.3, 0.7))  # above the sole
    nose = np.sqrt(np.clip((x + 0.96) / u(0.2, 0.6), 0, 1))
    middle = ramp(x, u(-0.7, -0.4), u(0.0, 0.3))
    ankle = ramp(x, u(-0.2, 0.1), u(0.2, 0.4))
    mouth = u(0.0, 0.2) * np.clip(1 - ((x - 0.55) / 0.3) ** 2, 0, 1)
    upper = above - nose * (toe + (instep - toe) * middle + (shaft - instep) * ankle - mouth)
    foot = np.maximum(upper, -above)
    post = np.maximum(np.maximum(above, -up), u(0.4, 0.85) - u(0.0, 0.5) * up - x)
    sole = inside(above - u(0.05, 0.2))
    return x, above, np.maximum(np.minimum(foot, post), x - u(0.82, 0.95)), 0.9 + u(-0.5, 0.5) * sole


# The ten garments: each function draws random measures and returns an outline and a shade.


def t_shirt(u: Uniform) -> Drawing:
    x, y, outline, shade = top(
        u, cuff=u(-1, 0.1), hem=u(0.85, 1.05), width=u(0.45, 0.58), flare=u(0, 0.1), neck=u(0, 0.4), spread=u(0.2, 0.7)
    )
    motif = inside(np.maximum(np.abs(x) - u(0.05, 0.3), np.abs(y + u(0, 0.4)) - u(0.03, 0.2)))
    return outline, shade * pattern(x, y, u, stripes=0.7) + u(-1.0, 1.0) ** 3 * motif


def trouser(u: Uniform) -> Drawing:
    x, y = hanging(u)
    a = np.abs(x)
    inner = u(0.0, 0.25) * (y - u(-0.6, -0.2))
    outer = u(0.3, 0.4) + u(-0.04, 0.16) * ramp(y, -1.0, 1.0)
    outline = np.maximum(np.maximum(inner - a, a - outer), np.maximum(-0.97 - y, y - u(0.85, 1.05)))
    crease = inside(np.abs(a - (inner + outer) / 2) - 0.03, 2)
    return outline, pattern(x, y, u) * (1 - u(-0.2, 0.3) * crease)


def pullover(u: Uniform) -> Drawing:
    x, y, outline, shade = top(
        u, cuff=u(0.4, 1.1), hem=u(0.75, 1), width=u(0.42, 0.54), flare=u(-0.1, 0.1), neck=u(0, 0.3), spread=u(0, 0.25)
    )
    return outline, shade * pattern(x, y, u, stripes=0.7)


def dress(u: Uniform) -> Drawing:
    cuff = np.minimum(u(-1.4, 1.2), 0.7)
    x, y, outline, shade = top(
        u, cuff=cuff, hem=u(0.9, 1.1), width=u(0.24, 0.42), flare=u(0, 0.35), neck=u(0, 0.4), spread=u(0.1, 0.35)
    )
    return outline, shade * pattern(x, y, u, stripes=0.3)


def coat(u: Uniform) -> Drawing:
    x, y, outline, shade = top(
        u, cuff=u(0.5, 1.1), hem=u(0.85, 1.1), width=u(0.4, 0.5), flare=u(-0.1, 0.12), neck=u(0, 0.2), spread=u(0, 0.25)
    )
    zipper = inside(np.abs(x - u(-0.1, 0.1)) - 0.02)
    lapels = inside(np.abs(x) - u(0.1, 0.4) * (u(-0.9, 0.0) - y))
    return outline, shade * pattern(x, y, u) * (1 - u(-0.1, 0.8) * zipper - u(-0.1, 0.5) * lapels)


def shirt(u: Uniform) -> Drawing:
    cuff = np.minimum(u(-0.7, 1.7), u(0.5, 1.0))  # half of the shirts have long sleeves
    x, y, outline, shade = top(
        u, cuff=cuff, hem=u(0.8, 1.05), width=u(0.42, 0.54), flare=u(-0.05, 0.12), neck=u(0, 0.35), spread=u(0, 0.4)
    )
    buttons = inside(np.abs(x - u(-0.05, 0.05)) - 0.02)
    collar = inside(np.abs(x) - u(0.2, 0.6) * (u(-0.9, -0.5) - y))
    return outline, shade * pattern(x, y, u, checks=0.5) * (1 - u(-0.1, 0.4) * buttons - u(-0.3, 0.5) * collar)


def sandal(u: Uniform) -> Drawing:
    x, above, outline, shade = shoe(
        u, shaft=u(0.2, 0.9), heel=0.9 * u(0, 1) ** 2, instep=u(0.25, 0.6), toe=u(0.15, 0.4)
    )
    rim = np.maximum(-outline - u(0.0, 0.1), u(-0.6, 0.9) - x)
    kept = np.minimum(above - u(0.06, 0.25), rim)  # a sandal is the sole, the rim and three straps of a shoe
    for low, high in ((-0.8, -0.5), (-0.3, 0.2), (0.4, 0.8)):
        kept = np.minimum(kept, np.abs(x - u(low, high) + u(-0.8, 0.4) * (above - 0.2)) - u(0.0, 0.22))
    return np.maximum(outline, kept), shade


def sneaker(u: Uniform) -> Drawing:
    x, above, outline, shade = shoe(u, shaft=u(0.5, 0.95), heel=u(0, 0.06), instep=u(0.4, 0.75), toe=u(0.2, 0.45))
    laces = np.sin(u(20, 30) * x) * inside(np.abs(x + u(-0.1, 0.3)) - u(0.1, 0.25), 4) * ramp(above, 0.2, 0.4)
    mark = inside(np.abs(x - u(-0.2, 0.6) + u(-1.5, 1.5) * (above - 0.2)) - u(0.0, 0.2))
    return outline, shade + u(-0.4, 0.4) * mark + u(0.0, 0.4) * laces


def bag(u: Uniform) -> Drawing:
    x, y = hanging(u)
    upper, lower = u(-0.7, -0.1), u(0.6, 0.9)
    corner = u(0.05, 0.3)
    beside = np.abs(x) - u(0.65, 0.95) - u(-0.15, 0.15) * y + corner
    beyond = np.abs(y - (upper + lower) / 2) - (lower - upper) / 2 + corner
    body = np.hypot(np.maximum(beside, 0), np.maximum(beyond, 0)) - corner
    ring = np.hypot(x / u(0.3, 0.7), (y - upper) / u(0.1, 0.8))
    handle = np.maximum(np.abs(ring - 1) * 0.4 - u(0.03, 0.06), y - upper)
    flap = inside(np.abs(y - upper - u(0.1, 0.5) + 0.1 * np.abs(x)) - 0.02)
    return np.minimum(body, handle), pattern(x, y, u) * (1 - u(0, 0.5) * flap)


def ankle_boot(u: Uniform) -> Drawing:
    x, above, outline, shade = shoe(u, shaft=u(0.8, 1.7), heel=0.6 * u(0, 1) ** 2, instep=u(0.5, 0.9), toe=u(0.25, 0.5))
    gusset = inside(np.abs(x - u(0.3, 0.6) + u(-0.3, 0.3) * above) - u(0.0, 0.15))
    return outline, shade + u(-0.4, 0.4) * gusset * ramp(above, 0.2, 0.4)


GARMENTS = (t_shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle_boot)

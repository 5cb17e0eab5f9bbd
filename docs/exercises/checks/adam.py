"""The exercises of docs/adam.md."""

import numpy as np

from checks.answers import call, expect, expect_prediction, several
from scratchnet.optim import Adam

SETTINGS = {"alpha": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 0.2}  # an ε that is seen
ALPHA, BETA1, BETA2, EPSILON = SETTINGS.values()
STEPS = 3


def _updates(g, m, v, t):
    """Steps by name of mistake: what is subtracted from theta, wrong in one way each."""
    b1, b2 = 1 - BETA1**t, 1 - BETA2**t
    update = ALPHA * (m / b1) / (np.sqrt(v / b2) + EPSILON)
    yield (
        "Both bias corrections are missing: at the first step m is only (1 − β₁)g. Divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ.",
        ALPHA * m / (np.sqrt(v) + EPSILON),
    )
    yield "The bias correction of m is missing: m̂ = m/(1 − β₁ᵗ).", update * b1
    yield "The bias correction of v is missing: v̂ = v/(1 − β₂ᵗ).", ALPHA * (m / b1) / (np.sqrt(v) + EPSILON)
    once = ALPHA * (m / (1 - BETA1)) / (np.sqrt(v / (1 - BETA2)) + EPSILON)
    yield "The corrections lack the power t: 1 − β₁ᵗ and 1 − β₂ᵗ, not 1 − β₁ and 1 − β₂.", once
    b1, b2 = 1 - BETA1 ** (t + 1), 1 - BETA2 ** (t + 1)
    late = ALPHA * (m / b1) / (np.sqrt(v / b2) + EPSILON)
    yield "The t of the corrections is one too high: the first step has t = 1, and t comes in already counted.", late
    b1, b2 = 1 - BETA1**t, 1 - BETA2**t
    yield "ε is inside of the root: √v̂ + ε, not √(v̂ + ε).", ALPHA * (m / b1) / np.sqrt(v / b2 + EPSILON)
    yield "ε is missing.", ALPHA * (m / b1) / np.sqrt(v / b2)
    yield "The root is missing: the step is m̂/(√v̂ + ε).", ALPHA * (m / b1) / (v / b2 + EPSILON)
    uncorrected = ALPHA * np.sqrt(b2) / b1 * m / (np.sqrt(v) + EPSILON)
    yield "You used α_t and left ε as it is; then ε must become ε_t = ε·√(1 − β₂ᵗ).", uncorrected
    yield "The step goes uphill: subtract it.", -update
    yield "The learning rate α is missing.", update / ALPHA
    yield "You used g in the place of m̂.", ALPHA * g / (np.sqrt(v / b2) + EPSILON)


def _averages(got, old, right, name, g, t, hat):
    """Raise Wrong, with a reason, unless `got` is the new running average m or v."""
    letter, square = ("₁", "") if name == "m" else ("₂", "²")
    beta, term = (BETA1, g) if name == "m" else (BETA2, g * g)
    mistakes = {
        f"{name} adds all of g{square}: the new one has the weight 1 − β{letter}.": beta * old + term,
        f"The weights of {name} are exchanged: β{letter} is that of the old {name}.": (1 - beta) * old + beta * term,
        f"You returned {name} with the bias correction in it: the next step would correct it once more.": right / hat,
        f"{name} is unchanged.": old,
    }
    if name == "v":
        mistakes["v averages g, not g²."] = beta * old + (1 - beta) * g
        mistakes["v averages |g|, not g²."] = beta * old + (1 - beta) * np.abs(g)
        mistakes["v has β₁ in the place of β₂."] = BETA1 * old + (1 - BETA1) * term
    else:
        mistakes["m averages g²; that is v."] = beta * old + (1 - beta) * g * g
        mistakes["m has β₂ in the place of β₁."] = BETA2 * old + (1 - BETA2) * term
    expect(f"{name} after step {t}", got, right, mistakes)


def _states(decay):
    """(old theta, g, m and v before the step, t, step of Adam, theta, m, v after it) of a few right steps."""
    rng = np.random.default_rng(1)
    theta, grad = rng.normal(size=5), np.empty(5)
    adam = Adam(theta, grad, learning_rate=ALPHA, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    for t in range(1, STEPS + 1):
        grad[...] = rng.normal(size=5)
        old, m, v = theta.copy(), adam.m.copy(), adam.v.copy()
        adam.step()
        step = old - theta
        theta -= ALPHA * (decay or 0) * old
        yield old, grad.copy(), m, v, t, step, theta.copy(), adam.m.copy(), adam.v.copy()


def _follow(function, decay=None):
    """Take a few steps with the reader's function, each from the right m and v of the step before."""
    first, *later = _states(decay)
    for old, g, m, v, t, step, theta, m_new, v_new in (*later, first):  # at the first, several mistakes look alike
        arguments = old, g, m, v, t, *SETTINGS.values(), *([] if decay is None else [decay])
        got, m_got, v_got = several(call(function, *arguments), ("theta", "m", "v"))
        mistakes = {why: theta + step - wrong for why, wrong in _updates(g, m_new, v_new, t)}
        mistakes |= {"theta is unchanged.": old, "That is the step alone; return theta minus the step.": step}
        if decay is not None:  # first of all: a decay within the gradient is in m and v too
            mistakes |= _decays(old, g, m, v, t, step, decay)
            expect(f"theta after step {t}", got, theta, mistakes)
        _averages(m_got, m, m_new, "m", g, t, 1 - BETA1**t)
        _averages(v_got, v, v_new, "v", g, t, 1 - BETA2**t)
        expect(f"theta after step {t}", got, theta, mistakes)


def _decays(old, g, m, v, t, step, decay):
    """New thetas by name of mistake, where the weight decay is wrong."""
    g = g + decay * old
    m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
    coupled = old - ALPHA * m / (1 - BETA1**t) / (np.sqrt(v / (1 - BETA2**t)) + EPSILON)
    return {
        "The decay is in the gradient, and so in m and v: that is L2 within Adam. AdamW keeps it outside.": coupled,
        "The weight decay is missing: subtract α·decay·θ as well.": old - step,
        "The decay lacks α: θ shrinks by α·decay·θ.": old - step - decay * old,
        "The decay has the wrong sign: θ must shrink.": old - step + ALPHA * decay * old,
        "You decayed the new θ; both changes start from the old one.": (old - step) * (1 - ALPHA * decay),
    }


def adam_step(function):
    _follow(function)
    return f"{STEPS} steps are those of scratchnet.optim.Adam."


def adamw_step(function):
    _follow(function, 0.3)
    return f"{STEPS} steps are those of Adam, with θ − α·decay·θ beside them."


def first_step(got):
    beta1, beta2 = 0.9, 0.999
    g = 5.0
    measured = (1 - beta1) * g / np.sqrt((1 - beta2) * g * g)
    mistakes = {
        "With the corrections it is 1. Without them m = (1 − β₁)g and v = (1 − β₂)g².": 1.0,
        "m is indeed a tenth of g; but v is only a thousandth of g², and its root is below.": 0.1,
        "Take the root of v: (1 − β₁)/√(1 − β₂).": 100.0,
        "It is the other way round: m above, √v below.": 1 / measured,
    }
    expect_prediction(got, measured, mistakes)
    return (
        f"Measured: {measured:.3f}. Without the corrections Adam starts too *fast*: v is further below its mean than m."
    )


EXERCISES = {"adam_step": adam_step, "adamw_step": adamw_step, "FIRST_STEP": first_step}

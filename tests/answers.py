"""Answers to the exercises of docs/exercises: the right ones, and wrong ones with what check.py must say of each.

An answer is what stands in the place of `raise NotImplementedError`, or of None. A class has the bodies of two methods.
"""

RIGHT = {
    "linear": {
        "linear_backward": "return X.T @ dY, dY.sum(axis=0), dY @ W.T",
        "scale_backward": "return (X * dY).sum(axis=0), dY * a",
        "LAYER_FACTOR": "2",
        "LOSS_FACTOR": "1",
    },
    "activations": {
        "Absolute": ("self.X = X; return np.abs(X)", "return dY * np.sign(self.X)"),
        "maxout_backward": """
            m = X.shape[1] // 2
            first = X[:, :m] >= X[:, m:]
            return np.concatenate([dY * first, dY * ~first], axis=1)""",
        "SIGMOIDS": "0.25**10",
    },
    "dropout": {
        "dropout_forward": "M = (rng.random(X.shape) >= p) / (1 - p); return X * M, M",
        "dropout_backward": "return dY * M",
        "MEAN_SQUARE": "1 / 0.8",
        "TWENTY_LAYERS": "86.7",
    },
    "softmax_cross_entropy": {
        "softmax": """
            E = np.exp(Z - Z.max(axis=-1, keepdims=True))
            return E / E.sum(axis=-1, keepdims=True)""",
        "smoothed_gradient": """
            n, classes = Z.shape
            T = (1 - s) * np.eye(classes)[labels] + s / classes
            return (softmax(Z) - T) / n""",
        "BLIND_LOSS": "2.3026",
        "BLIND_GRADIENT": "-0.009",
    },
    "adam": {
        "adam_step": """
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
            return theta - alpha * m_hat / (np.sqrt(v_hat) + epsilon), m, v""",
        "adamw_step": """
            new, m, v = adam_step(theta, g, m, v, t, alpha, beta1, beta2, epsilon)
            return new - alpha * decay * theta, m, v""",
        "FIRST_STEP": "10**0.5",
    },
    "gradient_checking": {
        "numerical_gradient": """
            G = np.empty_like(A)
            for i in np.ndindex(A.shape):
                a = A[i]
                A[i] = a + h
                above = f()
                A[i] = a - h
                G[i] = (above - f()) / (2 * h)
                A[i] = a
            return G""",
        "is_wrong": """
            dY = rng.normal(size=layer.forward(X).shape)
            dX = layer.backward(dY)
            found = [(X, dX), *((A, dA.copy()) for _, A, dA in parameters(layer))]
            for A, dA in found:
                G = numerical_gradient(lambda: np.sum(dY * layer.forward(X)), A, 1e-5)
                if not np.allclose(dA, G, rtol=1e-5, atol=1e-8):
                    return True
            return False""",
        "CENTRAL": "4",
        "ONE_SIDED": "2",
    },
    "initialization": {
        "he_normal": "return rng.normal(0, np.sqrt(2 / shape[0]), shape)",
        "he_uniform": "y = np.sqrt(6 / shape[0]); return rng.uniform(-y, y, shape)",
        "signal_after": "return q * (n_in * w_var / 2) ** layers",
        "RULE_FACTOR": "1 / 6",
    },
    "lesson": {
        "paired_interval": """
            d = a - b
            n = len(d)
            half = t_quantile(n - 1, 0.95) * d.std(ddof=1) / np.sqrt(n)
            return d.mean(), d.mean() - half, d.mean() + half""",
        "blind_guess": "return np.log(classes)",
    },
}

ADAM = RIGHT["adam"]["adam_step"]
ADAMW = RIGHT["adam"]["adamw_step"]
DIFFERENCE = RIGHT["gradient_checking"]["numerical_gradient"]
CHECK = RIGHT["gradient_checking"]["is_wrong"]
NORMAL = RIGHT["initialization"]["he_normal"]
UNIFORM = RIGHT["initialization"]["he_uniform"]
PAIRED = RIGHT["lesson"]["paired_interval"]
APART = PAIRED.replace("d.std(ddof=1)", "np.sqrt(a.var(ddof=1) + b.var(ddof=1))")
MAXOUT = "m = X.shape[1] // 2; a, b = X[:, :m], X[:, m:]; "
SMOOTH = "n, c = Z.shape; P = softmax(Z); T = np.eye(c)[labels]; S = (1 - s) * T + s / c; "

# exercise: [(answer, what is said of it), …]
WRONG = {
    "linear_backward": [
        ("return X.T @ dY, dY.sum(0), dY @ W.T / len(X)", "You divided dX by n"),
        ("return X.T @ dY, dY.mean(axis=1), dY @ W.T", "You took the mean over the units"),
        ("return dY.T @ X, dY.sum(0), dY @ W.T", "dW is transposed"),
        ("return X.T @ dY, dY.sum(0), W @ dY.T", "dX is transposed"),
        ("return X.T @ dY / len(X), dY.sum(0), dY @ W.T", "You divided dW by n"),
        ("return X.T @ dY, dY.mean(axis=0), dY @ W.T", "You divided db by n"),
        ("return X.T @ dY, dY.sum(axis=1), dY @ W.T", "You summed db over the units"),
        ("return X.T @ dY, dY.sum(), dY @ W.T", "You summed db over everything"),
        ("return X.T @ dY, dY, dY @ W.T", "db is dY itself"),
        ("return X.T @ dY, dY.sum(0, keepdims=True), dY @ W.T", "leave keepdims away"),
        ("return X.T @ dY, dY.sum(0), dY @ W", "`return X.T @ dY, dY.sum(0), dY @ W`, raised"),
        ("return X.T @ dY, dY.sum(0)", "It returns 2 values, expected 3"),
        ("X.T @ dY", "None (is a `return` missing?)"),
        ("return dY @ W.T, X.T @ dY, dY.sum(0)", "dW has the shape (5, 3), expected (3, 4)"),
        ("X *= 2; return X.T @ dY / 2, dY.sum(0), dY @ W.T", "It changed an array that it was given"),
        ("return 3 * X.T @ dY, dY.sum(0), dY @ W.T", "Every element of dW is 3 times"),
        ("return -X.T @ dY, dY.sum(0), dY @ W.T", "Every element of dW is -1 times"),
        ("return X.T @ dY + np.eye(3, 4), dY.sum(0), dY @ W.T", "3 of 12 elements are wrong"),
        ("return X.T @ dY / 0, dY.sum(0), dY @ W.T", "dW[0, 0] is "),
        ("return 'dW', dY.sum(0), dY @ W.T", "dW is one str, expected an array of numbers"),
        ("return 0 * W, dY.sum(0), dY @ W.T", "dW is 0 everywhere"),
    ],
    "scale_backward": [
        ("return X * dY, dY * a", "You have not summed da"),
        ("return (X * dY).sum(axis=1), dY * a", "You summed da over the wrong axis"),
        ("return dY.sum(axis=0), dY * a", "You forgot X in da"),
        ("return (X * dY).mean(axis=0), dY * a", "You took the mean for da"),
        ("return (X * dY).sum(), dY * a", "You summed da over everything"),
        ("return X.T @ dY, dY * a", "only its diagonal"),
        ("return (X * dY).sum(axis=0), dY", "You forgot a in dX"),
        ("return (X * dY).sum(axis=0), dY * X", "dX is dY·X here"),
        ("return (X * dY).sum(axis=0), dY / a", "You divided dX by a"),
        ("return (X * dY).sum(axis=2), dY * a", "Axis 0 (or −2) runs over the examples"),
    ],
    "LAYER_FACTOR": [
        ("1", "Layers sum over rows"),
        ("7", "It is not 7. Measure it"),
        ("'2'", "It is '2', expected a number"),
    ],
    "LOSS_FACTOR": [
        ("2", "look at what the loss does with n"),
        ("0.5", "what is left of both?"),
    ],
    "Absolute": [
        (("return np.maximum(X, 0)", "return dY"), "that is ReLU, and |−2| is 2"),
        (("return np.abs(X)", "return dY"), "dX is dY: where x < 0"),
        (("self.Y = abs(X); return abs(X)", "return dY * np.sign(self.Y)"), "Y = |x| has lost it"),
        (("self.X = X; return abs(X)", "return dY * (self.X > 0)"), "dX is 0 where x < 0"),
        (("self.X = X; return abs(X)", "return dY * self.X"), "only the sign of x counts"),
        (("self.X = X; return abs(X)", "return dY * abs(self.X)"), "that is dY·Y"),
        (("self.X = X; return abs(X)", "return -dY * np.sign(self.X)"), "dX has the wrong sign"),
        (("self.X = X; return abs(X)", "return dY * self.X / abs(self.X)"), "X/|X| is 0/0"),
        (("self.X = X; return abs(X)", "return np.where(self.X > 0, dY, -dY)"), "You let it be −1"),
        (("self.X = X; return abs(X)", "return np.where(self.X < 0, -dY, dY)"), "You let it be 1 "),
        (("return abs(X)", "return dY * np.sign(self.X)"), "`return dY * np.sign(self.X)`, raised Attr"),
        (
            ("self.S = np.sign(X); return abs(X)", "dX = dY * self.S; self.S = self.S * 2; return dX"),
            "gradcheck has a doubt: a second backward gives another dX",
        ),
    ],
    "maxout_backward": [
        ("return np.concatenate([dY, dY], axis=1)", "Both of a pair got the gradient"),
        ("return np.concatenate([dY, dY], axis=1) / 2", "Each of a pair got half"),
        (MAXOUT + "return np.concatenate([dY * (a < b), dY * (a >= b)], axis=1)", "The smaller one of each pair got"),
        (MAXOUT + "return np.concatenate([dY * (a >= b), dY * (b >= a)], axis=1)", "x_00 = x_03, both got"),
        (MAXOUT + "return np.concatenate([dY * (a > b), dY * (b >= a)], axis=1)", "x_00 = x_03, the second got"),
        (MAXOUT + "return np.concatenate([dY * (a > b), dY * (b > a)], axis=1)", "x_00 = x_03, neither got"),
        (
            """
            dX = np.zeros_like(X)
            first = X[:, ::2] >= X[:, 1::2]
            dX[:, ::2], dX[:, 1::2] = dY * first, dY * ~first
            return dX""",
            "You paired neighbours",
        ),
        ("return dY", "dX has the shape of dY"),
    ],
    "SIGMOIDS": [
        ("0.25", "That is one sigmoid"),
        ("0.5**10", "You multiplied values"),
        ("2.5", "You added the slopes"),
        ("1", "tanh has the slope 1 at 0"),
    ],
    "dropout_forward": [
        ("M = rng.random(X.shape) >= p; return X * M, M", "What is left was not scaled"),
        ("M = (rng.random(X.shape) < p) / p; return X * M, M", "p is the probability of *dropping*"),
        ("M = (rng.random(X.shape) >= p) / p; return X * M, M", "multiplied by 1/p"),
        ("M = (rng.random(X.shape) >= p) * (1 - p); return X * M, M", "That makes the mean (1 − p)²"),
        ("M = (rng.random(X.shape) >= p) / (1 - p) ** 0.5; return X * M, M", "the mean *square*"),
        ("M = 1.5 * (rng.random(X.shape) >= p); return X * M, M", "1.5000, expected 1/(1 − p) = 1.4286"),
        ("K = rng.random(X.shape) >= p; return X * K / (1 - p), K", "M has only zeros and ones"),
        ("K = rng.random(X.shape) >= p; return X * K / (1 - p), ~K", "it is the other way"),
        ("M = np.ones_like(X); return X * M, M", "Nothing was dropped"),
        ("M = (rng.random(X.shape) >= p / 2) / (1 - p); return X * M, M", "expected about 30%"),
        ("M = (rng.random(len(X)) >= p) / (1 - p); return X * M[:, None], M", "draw X.shape numbers"),
        (
            "M = np.zeros_like(X) + (rng.random((len(X), 1)) >= p) / (1 - p); return X * M, M",
            "lost all of its units or none",
        ),
        (
            "M = (np.random.default_rng().random(X.shape) >= p) / (1 - p); return X * M, M",
            "Two generators with one seed gave two masks",
        ),
        ("M = (np.random.default_rng(0).random(X.shape) >= p) / (1 - p); return X * M, M", "seed nothing yourself"),
        ("return X", "It returns one array of shape (4000, 6), expected 2"),
    ],
    "dropout_backward": [
        ("return dY", "dX is dY: y is 0 whatever"),
        ("return dY * (M > 0)", "lack the factor of the mask"),
        ("return np.where(M > 0, dY / np.where(M > 0, M, 1), 0)", "You divided by the scale"),
        ("return dY * M * M.max()", "You scaled twice"),
    ],
    "MEAN_SQUARE": [
        ("1", "The mean is kept, and squares are not"),
        ("1.5625", "only a share 1 − p of the elements is left"),
        ("0.8", "That is the share that is left"),
    ],
    "TWENTY_LAYERS": [
        ("1.25", "That is one layer"),
        ("25", "You added the factors"),
        ("1.25**10", "the growth of the root mean square"),
    ],
    "softmax": [
        ("E = np.exp(Z); return E / E.sum(axis=0)", "You summed over the examples"),
        ("E = np.exp(Z); return E / E.sum()", "You summed over everything"),
        ("return Z / Z.sum(axis=-1, keepdims=True)", "The exponential is missing"),
        ("return np.exp(Z - Z.max(axis=1, keepdims=True))", "The rows do not add up to 1"),
        ("E = np.exp(Z); return np.log(E / E.sum(-1, keepdims=True))", "That is log p"),
        ("E = np.exp(Z); return E / E.sum(-1, keepdims=True)", "exp(1000) overflows"),
        ("E = np.exp(Z - Z.max()); return E / E.sum(-1, keepdims=True)", "each row's own maximum"),
        ("E = np.exp(Z); return E / E.sum(axis=1)", "the inner sizes of a product"),
    ],
    "smoothed_gradient": [
        ("s = 0.2; " + SMOOTH + "return (P - S) / n", "dZ for s = 0[0, 0] is"),
        (SMOOTH + "return P - S", "You forgot 1/n"),
        (SMOOTH + "return (P - S) / Z.size", "You divided by n·classes"),
        (SMOOTH + "return (P - S) / c", "divided by the number of classes"),
        (SMOOTH + "return (S - P) / n", "The sign is wrong: T − P"),
        (SMOOTH + "return (P - T) / n", "the gradient without smoothing"),
        (SMOOTH + "return (P - np.where(T, 1 - s, s / (c - 1))) / n", "the other classes alone"),
        (SMOOTH + "return (P - T - s / c) / n", "forgot the factor 1 − s"),
        (SMOOTH + "return ((1 - s) * P + s / c - T) / n", "You smoothed P"),
        (SMOOTH + "return (1 - s) * (P - T) / n", "what the other classes get"),
        (SMOOTH + "return -S / P / n", "You took the gradient by P"),
    ],
    "BLIND_LOSS": [
        ("1", "That is log₁₀ 10"),
        ("3.3219", "That is log₂ 10"),
        ("-2.3026", "so it is positive"),
        ("0.1", "That is p"),
        ("0", "The loss of p = 1 is 0"),
    ],
    "BLIND_GRADIENT": [
        ("-0.9", "You forgot 1/n"),
        ("0.001", "the gradient of the other logits"),
        ("0.009", "The sign is wrong"),
        ("-0.09", "You divided by the classes"),
    ],
    "adam_step": [
        (ADAM.replace("(1 - beta2) * g", "g"), "v adds all of g²"),
        (ADAM.replace("beta2 * v + (1 - beta2) * g", "(1 - beta2) * v + beta2 * g"), "weights of v are exchanged"),
        (ADAM.replace("epsilon), m, v", "epsilon), m, v_hat"), "v with the bias correction in it"),
        (
            ADAM.replace("v = beta2 * v + (1 - beta2) * g**2", "w = beta2 * v + (1 - beta2) * g**2").replace(
                "v / (", "w / ("
            ),
            "v is unchanged",
        ),
        (ADAM.replace("(1 - beta1) * g", "(1 - beta1) * g * g"), "m averages g²"),
        (ADAM.replace("m / (1 - beta1**t), v / (1 - beta2**t)", "m, v"), "Both bias corrections are missing"),
        (ADAM.replace("m / (1 - beta1**t)", "m"), "The bias correction of m is missing"),
        (ADAM.replace("v / (1 - beta2**t)", "v"), "The bias correction of v is missing"),
        (ADAM.replace("**t", ""), "The corrections lack the power t"),
        ("t += 1" + ADAM, "The t of the corrections is one too high"),
        (ADAM.replace("(np.sqrt(v_hat) + epsilon)", "np.sqrt(v_hat + epsilon)"), "ε is inside of the root"),
        (ADAM.replace(" + epsilon", ""), "ε is missing"),
        (ADAM.replace("np.sqrt(v_hat)", "v_hat"), "The root is missing"),
        (ADAM.replace("theta -", "theta +"), "The step goes uphill"),
        (ADAM.replace("alpha *", ""), "The learning rate α is missing"),
        (ADAM.replace("alpha * m_hat", "alpha * g"), "You used g in the place of m̂"),
        (ADAM.replace("theta - ", ""), "That is the step alone"),
        (ADAM.replace("m_hat, v_hat =", "m, v = m_hat, v_hat ="), "m with the bias correction in it"),
        (ADAM.replace("(1 - beta1) * g", "g"), "m adds all of g"),
        (ADAM.replace("beta1 * m + (1 - beta1) * g", "(1 - beta1) * m + beta1 * g"), "are exchanged"),
        (ADAM.replace("g**2", "g"), "v averages g, not g²"),
        (ADAM.replace("g**2", "abs(g)"), "v averages |g|"),
        (ADAM.replace("beta2 * v + (1 - beta2)", "beta1 * v + (1 - beta1)"), "v has β₁ in the place of β₂"),
        (ADAM.replace("beta1 * m + (1 - beta1)", "beta2 * m + (1 - beta2)"), "m has β₂ in the place of β₁"),
        ("return theta, beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2", "theta is unchanged"),
        ("return theta, m, v", "m is unchanged"),
        ("m *= beta1" + ADAM, "It changed an array that it was given"),
        (
            """
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            alpha_t = alpha * np.sqrt(1 - beta2**t) / (1 - beta1**t)
            return theta - alpha_t * m / (np.sqrt(v) + epsilon), m, v""",
            "ε must become ε_t",
        ),
    ],
    "adamw_step": [
        ("g = g + decay * theta" + ADAM, "that is L2 within Adam"),
        (ADAMW.replace(" - alpha * decay * theta", ""), "The weight decay is missing"),
        (ADAMW.replace("alpha * decay", "decay"), "The decay lacks α"),
        (ADAMW.replace("new - alpha", "new + alpha"), "The decay has the wrong sign"),
        (ADAMW.replace("decay * theta", "decay * new"), "You decayed the new θ"),
        ("theta = theta - alpha * decay * theta" + ADAM.replace("**t", ""), "lack the power t"),
    ],
    "FIRST_STEP": [
        ("1", "With the corrections it is 1"),
        ("0.1", "v is only a thousandth of g²"),
        ("100", "Take the root of v"),
        ("0.1**0.5", "the other way round"),
    ],
    "numerical_gradient": [
        (DIFFERENCE.replace("(2 * h)", "h"), "You divided by h"),
        (DIFFERENCE.replace("a - h", "a").replace("(2 * h)", "h"), "the one-sided difference"),
        (DIFFERENCE.replace("a - h", "a"), "a + h and a are h apart"),
        (DIFFERENCE.replace("above - f()", "f() - above"), "The sign is wrong"),
        (DIFFERENCE.replace(" / (2 * h)", ""), "not divided by 2h"),
        ("h = 1e-5" + DIFFERENCE, "The step is not h"),
        (DIFFERENCE.replace("                A[i] = a\n", ""), "A is not what it was"),
        (
            "A += h; above = f(); A -= 2 * h; below = f(); A += h; return np.full(A.shape, (above - below) / (2 * h))",
            "You changed all elements at once",
        ),
    ],
    "is_wrong": [
        (CHECK.replace("rng.normal(size=", "np.ones(").replace(".shape)", ".shape)"), "all ones"),
        (CHECK.replace("1e-5, atol=1e-8", "1e-2, atol=1e-2"), "your tolerance is too large"),
        (CHECK.replace("1e-5, atol=1e-8", "0, atol=1e-15"), "accuses"),
        (CHECK.replace(", *((A, dA.copy()) for _, A, dA in parameters(layer))", ""), "a wrong dW"),
        (CHECK.replace("(X, dX), *", "*"), "compare dX too"),
        (
            CHECK.replace(
                "rng.normal(size=layer.forward(X).shape)",
                "rng.normal(size=layer.forward(X).shape[1]) + 0 * layer.forward(X)",
            ),
            "mixes up the rows",
        ),
        (
            CHECK.replace("for _, A, dA in parameters(layer))", "for _, A, dA in [*parameters(layer)][:1])"),
            "db is divided by n",
        ),
        (
            CHECK.replace("not np.allclose(dA, G, rtol=1e-5, atol=1e-8)", "np.ravel(abs(dA - G))[0] > 1e-6"),
            "one wrong element of dX passes",
        ),
        ("return 1.0", "It returns 1.0, expected True or False"),
        ("return False", "all pass"),
        ("return True", "It accuses five right layers of five"),
    ],
    "CENTRAL": [
        ("2", "That is the one-sided difference"),
        ("8", "not h³"),
        ("0.25", "Say how many times smaller"),
    ],
    "ONE_SIDED": [
        ("4", "That is the central difference"),
        ("0.5", "Say how many times smaller"),
        ("1", "It shrinks too"),
    ],
    "he_normal": [
        (NORMAL.replace("shape[0]", "shape[1]"), "You took the fan of the wrong side"),
        (NORMAL.replace("2 / shape[0]", "1 / shape[0]"), "The factor 2 is missing: ReLU"),
        (NORMAL.replace("2 / shape[0]", "1 / shape[1]"), "The factor 2 is missing, and the fan"),
        (NORMAL.replace("shape[0]", "sum(shape)"), "That is Glorot's compromise"),
        (NORMAL.replace("shape[0]", "np.prod(shape)"), "That is 2/(n_in·n_out)"),
        (NORMAL.replace("np.sqrt(2 / shape[0])", "2 / shape[0]"), "you made it the standard deviation"),
        (NORMAL.replace("np.sqrt(2 / shape[0])", "2 / np.sqrt(shape[0])"), "the 2 belongs inside the root"),
        (NORMAL.replace("2 / shape[0]", "3 / shape[0]"), "expected 2/n_in = 0.003333"),
        (NORMAL.replace("shape[0]", "max(shape)"), "whichever is larger"),
        (NORMAL.replace("normal(0", "normal(0.5"), "expected the mean 0"),
        ("return abs(rng.normal(0, np.sqrt(2 / shape[0]), shape))", "expected the mean 0"),
        (UNIFORM, "that is exercise 2"),
        (NORMAL.replace("rng", "np.random.default_rng()"), "Two generators with one seed gave two arrays"),
        (NORMAL.replace("rng", "np.random.default_rng(1)"), "seed nothing yourself"),
        (
            "return np.zeros(shape) + rng.normal(0, np.sqrt(2 / shape[0]), shape[1])",
            "All rows or all columns are equal",
        ),
        ("return np.ones(shape) * rng.normal(0, 0.06, (shape[0], 1))", "All rows or all columns are equal"),
        (NORMAL.replace(", shape)", ", shape[::-1])"), "of the shape (120, 600), expected"),
        ("return 2 / shape[0]", "It returns a float"),
        ("return rng.normal(0, 1, shape) / 0", "infinite or not a number"),
    ],
    "he_uniform": [
        (UNIFORM.replace("shape[0])", "shape[1])"), "You took the fan of the wrong side"),
        (UNIFORM.replace("6 /", "3 /"), "The factor 2 is missing: ReLU"),
        (UNIFORM.replace("6 / shape[0]", "3 / shape[1]"), "The factor 2 is missing, and the fan"),
        (UNIFORM.replace("shape[0]", "sum(shape)"), "That is Glorot's compromise"),
        (UNIFORM.replace("6 /", "2 /"), "√(2/n_in) is the standard deviation, and you made it the bound"),
        (UNIFORM.replace("6 /", "1 /"), "That is the lesson's general rule"),
        (UNIFORM.replace("6 / shape[0]", "2 / shape[0] / 3"), "You divided by √3"),
        (UNIFORM.replace("np.sqrt(6 / shape[0])", "6 / shape[0]"), "The bound is 6/n_in here"),
        (UNIFORM.replace("np.sqrt(6 / shape[0])", "2 / shape[0]"), "The bound is 2/n_in here"),
        (UNIFORM.replace("6 /", "24 /"), "You took y²/12 for the variance"),
        (UNIFORM.replace("-y", "0"), "expected the mean 0"),
        (NORMAL, "In a uniform distribution it is √3 of them"),
        ("return rng.choice([-1, 1], shape) * np.sqrt(2 / shape[0])", "is 1.00 standard deviations from 0"),
        (UNIFORM.replace("shape[0]", "max(shape)"), "whichever is larger"),
    ],
    "signal_after": [
        ("return q * (n_in * w_var) ** layers", "You forgot ReLU"),
        ("return q * (n_in * w_var) ** layers / 2", "You counted ReLU once"),
        ("return q * (n_in * w_var / 4) ** layers", "You halved twice"),
        ("return q * n_in * w_var / 2 * layers", "You added the factors"),
        ("return q * n_in * w_var / 2", "That is one layer"),
        ("return q * (n_in * w_var / 2) ** (layers - 1)", "a layer too few"),
        ("return q * (n_in * w_var / 2) ** (layers + 1)", "a layer too many"),
        ("return (n_in * w_var / 2) ** layers", "You forgot q"),
        ("return q * (w_var / 2) ** layers", "You forgot n_in"),
        ("return q * (n_in * w_var / 2) ** (layers / 2)", "You took the root of the factor"),
        ("return (q * (n_in * w_var / 2) ** layers) ** 0.5", "That is the root mean square"),
        ("return q * (n_in * w_var**2 / 2) ** layers", "You squared w_var"),
        ("return q * 0.75**layers", "The mean square with He's variance is"),
        ("return q * (n_in * w_var / 2) ** max(layers, 1)", "The mean square after no layer is"),
    ],
    "RULE_FACTOR": [
        ("1 / 3", "ReLU halves the mean square too"),
        ("0.5", "that of U(−y, y) is y²/3"),
        ("1", "A factor of 1 would keep q"),
        ("6**-0.5", "the root mean square"),
        ("6", "The signal fades"),
        ("1 / 24", "You took y²/12"),
    ],
    "paired_interval": [
        (PAIRED.replace("t_quantile(n - 1, 0.95)", "1.96"), "You took a normal quantile"),
        (PAIRED.replace("ddof=1", ""), "You divided by n in the standard deviation"),
        (PAIRED.replace(" / np.sqrt(n)", ""), "You forgot √n"),
        (PAIRED.replace("/ np.sqrt(n)", "/ n"), "You divided by n: the mean of n seeds"),
        (PAIRED.replace("d.std", "d.var"), "That is the variance"),
        (APART.replace("n - 1,", "2 * n - 2,"), "the test of two independent samples"),
        (APART, "What the seed adds to both cancels there"),
        (PAIRED.replace("n - 1,", "n,"), "t has n degrees of freedom here"),
        (PAIRED.replace("0.95", "0.975"), "two sides already"),
        (PAIRED.replace("0.95", "0.9"), "each side has 2.5 %"),
        (PAIRED.replace("t_quantile(n - 1, 0.95) * ", ""), "t is missing"),
        (PAIRED.replace("a - b", "b - a"), "you took b − a"),
        (PAIRED.replace("return d.mean()", "return d"), "one for each seed: take their mean"),
        (PAIRED.replace("return d.mean()", "return d.sum()"), "You summed the differences"),
        (PAIRED.replace("d.mean() - half, d.mean() + half", "d.mean() + half, d.mean() - half"), "are exchanged"),
        (PAIRED.replace("d.mean() - half, d.mean() + half", "half, half"), "half the width of the interval"),
        (PAIRED.replace("d.mean() + half", "half"), "high of 6 seeds is"),
        (PAIRED.replace("t_quantile(n - 1, 0.95)", "2.5706"), "low of 10 seeds is"),
        ("return a.mean() - b.mean()", "expected 3"),
    ],
    "blind_guess": [
        ("np.log(classes)", "None (is a `return` missing?), expected a number."),
        ("return np.log10(classes)", "You took log₁₀"),
        ("return np.log2(classes)", "You took log₂"),
        ("return np.log(1 / classes)", "so it is positive"),
        ("return 1 / classes", "That is p"),
        ("return 1 - 1 / classes", "how often a guess is wrong"),
        ("return 2.302585", "whatever their number"),
        ("return classes * np.log(classes)", "only the label's −log p counts"),
        ("return 0.0", "The loss of p = 1 is 0"),
        ("return np.log(max(classes, 7))", "The loss for 2 classes is 1.946, expected 0.6931"),
    ],
}

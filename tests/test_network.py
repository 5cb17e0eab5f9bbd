"""Networks: one vector of parameters, replicas, saving and loading, and how they print."""

import copy
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from oracle import torch

from scratchnet import init
from scratchnet.backend import DeviceError, cuda_problem
from scratchnet.gradcheck import gradcheck
from scratchnet.layers import Dropout, Linear, PReLU, ReLU, Tanh, parameters
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network, NetworkFileError, mlp
from scratchnet.normalization import LayerNorm

R = 3


def initialized(seed=0, sizes=(8, 6, 5, 4), **kwargs):
    return mlp(sizes, **kwargs).apply(init.linear(init.rule_normal, rng=np.random.default_rng(seed)))


@pytest.fixture
def X(rng):
    return rng.normal(size=(7, 8))


def test_layers_are_windows_on_one_vector():
    network = initialized()
    assert network.theta.shape == (8 * 6 + 6 + 6 * 5 + 5 + 5 * 4 + 4,)
    network.theta[...] = 3
    assert all((layer.W == 3).all() and (layer.b == 3).all() for layer in network.layers if isinstance(layer, Linear))
    network.layers[0].W[0, 0] = 5
    assert network.theta[0] == 5


def test_gradients_are_windows_on_one_vector(X, rng):
    network = initialized(dtype=np.float64)
    network.forward(X)
    network.backward(rng.normal(size=(7, 4)))
    first, *_, last = network.layers
    assert np.array_equal(network.grad[: 8 * 6], first.dW.ravel())
    assert np.array_equal(network.grad[-4:], last.db)


def test_a_network_is_made_of_layers_that_a_reader_brings(rng):
    W = rng.normal(size=(8, 4))
    network = Network([Linear(W.copy(), np.ones(4)), Tanh()])
    X = rng.normal(size=(2, 8))
    np.testing.assert_allclose(network.forward(X), np.tanh(X @ W + 1))


@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 1e-6), (np.float64, 1e-10)])
def test_a_whole_network_equals_pytorch(rng, dtype, close):
    network = initialized(sizes=(20, 16, 12, 10), dtype=dtype)
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    modules = []
    for layer in linears:
        module = torch.nn.Linear(*layer.W.shape, dtype=torch.float64 if dtype == np.float64 else torch.float32)
        module.weight.data, module.bias.data = torch.tensor(layer.W.T), torch.tensor(layer.b)
        modules += [module, torch.nn.ReLU()]
    theirs = torch.nn.Sequential(*modules[:-1])
    X, labels = rng.normal(size=(9, 20)).astype(dtype), rng.integers(10, size=9)
    loss = CrossEntropy()
    value = loss.forward(network.forward(X), labels)
    network.backward(loss.backward())
    expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(X)), torch.tensor(labels))
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=close, atol=close)
    for layer, module in zip(linears, modules[::2], strict=True):
        np.testing.assert_allclose(layer.dW, module.weight.grad.numpy().T, rtol=close, atol=close)
        np.testing.assert_allclose(layer.db, module.bias.grad.numpy(), rtol=close, atol=close)


@pytest.mark.parametrize("shared_input", [True, False])
def test_a_stack_of_replicas_is_the_separate_networks(rng, shared_input):
    alone = [initialized(seed) for seed in range(R)]
    stack = mlp([8, 6, 5, 4], replicas=(R,))
    for r, network in enumerate(alone):
        stack.theta[r] = network.theta
    X = rng.normal(size=(7, 8) if shared_input else (R, 7, 8)).astype(np.float32)
    dZ = rng.normal(size=(R, 7, 4)).astype(np.float32)
    Z, dX = stack.forward(X), stack.backward(dZ)
    for r, network in enumerate(alone):
        assert np.array_equal(network.forward(X if shared_input else X[r]), Z[r])
        assert np.array_equal(network.backward(dZ[r]), dX[r])
        assert np.array_equal(network.grad, stack.grad[r])


def test_apply_visits_every_layer_in_order_as_in_the_lesson(rng):
    def weights_init_uniform_rule(layer):
        if type(layer).__name__.startswith("Linear"):
            n = layer.W.shape[-2]
            y = 1.0 / np.sqrt(n)
            layer.W[...] = rng.uniform(-y, y, layer.W.shape)
            layer.b[...] = 0

    network = mlp([784, 256, 128, 10]).apply(weights_init_uniform_rule)
    assert np.abs(network.layers[0].W).max() <= 1 / 28
    seen = []
    network.apply(lambda layer: seen.append(layer))
    assert seen == network.layers


def test_mlp_puts_activation_and_dropout_between_linear_layers(rng):
    network = mlp([8, 6, 5, 4], activation=Tanh, dropout=0.2, rng=rng)
    assert [type(layer) for layer in network.layers] == [Linear, Tanh, Dropout, Linear, Tanh, Dropout, Linear]
    assert [type(layer) for layer in mlp([8, 6, 4], rng=rng).layers] == [Linear, ReLU, Linear]  # none that drops none


def test_a_network_prints_as_a_table(rng):
    assert str(mlp([784, 256, 10], dropout=0.2, rng=rng, replicas=(2,))).splitlines() == [
        "Network, float32, replicas (2,)",
        "   layer           shape      parameters",
        "0  Linear          784 → 256     401,920",
        "1  ReLU",
        "2  Dropout(p=0.2)",
        "3  Linear          256 → 10        5,140",
        "   total                         407,060",
    ]


# --- save and load ---


def write_npy(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def test_what_is_saved_is_loaded(tmp_path, X):
    network, other = initialized(0), initialized(1)
    network.save(tmp_path / "network.npz")
    other.load(tmp_path / "network.npz")
    assert np.array_equal(network.forward(X), other.forward(X))
    assert [path.name for path in tmp_path.iterdir()] == ["network.npz"]


def test_a_saved_file_is_readable_by_name(tmp_path):
    network = initialized()
    network.save(tmp_path / "network.npz")
    with np.load(tmp_path / "network.npz") as file:
        assert np.array_equal(file["0.W"], network.layers[0].W)
        assert file.files == ["0.W", "0.b", "2.W", "2.b", "4.W", "4.b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: initialized(sizes=(8, 6, 9, 4)).save(path), r"2\.W of shape \(6, 9\), and the network \(6, 5\)"),
        (lambda path: initialized(sizes=(8, 4)).save(path), "holds 0.W, 0.b, and this network has"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "is not an .npz file"),
        (lambda path: path.write_bytes(b""), "is not an .npz file"),
        (lambda path: path.write_text("hello"), "is not an .npz file"),
        (lambda path: write_npy(path), "it is a single array"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(tmp_path, change, message):
    path = tmp_path / "network.npz"
    initialized(1).save(path)
    change(path)
    network = initialized(0)
    before = network.theta.copy()
    with pytest.raises(NetworkFileError, match=message):
        network.load(path)
    assert np.array_equal(network.theta, before)


def arrays_of(network):
    return {name: np.array(A) for name, A, _ in parameters(network)}


def repacked(method):
    """The same file with its members packed by another method of zipfile."""

    def change(path):
        with zipfile.ZipFile(path) as old:
            contents = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", method) as new:
            for name, content in contents.items():
                new.writestr(name, content)

    return change


def patched(offset, value):
    """The same file with 16 bits at this offset of each entry of its directory changed."""

    def change(path):
        content = bytearray(path.read_bytes())
        start = 0
        while (start := content.find(b"PK\x01\x02", start)) >= 0:
            content[start + offset : start + offset + 2] = value.to_bytes(2, "little")
            start += 4
        path.write_bytes(content)

    return change


def with_array(**changed):
    """The same file with other arrays; W stands for 0.W."""

    def change(path):
        np.savez(path, **{**arrays_of(initialized(1)), **{f"0.{name}": A for name, A in changed.items()}})

    return change


def with_header(header, version=(1, 0)):
    """The same file with 0.W's header in its own words."""

    def change(path):
        with zipfile.ZipFile(path) as old:
            contents = {name: old.read(name) for name in old.namelist()}
        contents["0.W.npy"] = b"\x93NUMPY" + bytes(version) + len(header).to_bytes(2, "little") + header + bytes(192)
        with zipfile.ZipFile(path, "w") as new:
            for name, content in contents.items():
                new.writestr(name, content)

    return change


def damaged_in_the_middle(path):
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def bomb(path):
    """A member that nobody wants, of 100 MB in 100 kB."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(100 << 20))


def twice(path):
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("0.W.npy", b"another one")


def with_an_escape_sequence(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\x1b[31m" + "x" * 5000, b"")


HOSTILE = {
    "bz2": (repacked(zipfile.ZIP_BZIP2), "packed by method 12"),
    "lzma": (repacked(zipfile.ZIP_LZMA), "packed by method 14"),
    "an unknown method": (patched(10, 99), "packed by method 99"),
    "a password": (patched(8, 1), "password required"),
    "a changed byte": (damaged_in_the_middle, "Bad CRC-32"),
    "text": (with_array(W=np.full((8, 6), "a")), "0.W of type <U1, expected floating-point numbers"),
    "integers": (with_array(W=np.ones((8, 6), int)), "0.W of type int64, expected floating-point"),
    "complex numbers": (with_array(W=np.ones((8, 6), complex)), "0.W of type complex128"),
    "a number too large for float32": (
        with_array(W=np.full((8, 6), 1e300)),
        r"0.W with 1e\+300, which is too large for the network's float32",
    ),
    "an object": (with_header(b"{'descr': '|O', 'fortran_order': False, 'shape': (8, 6)}"), "of type object"),
    "more numbers than the shape": (
        with_header(b"{'descr': '<f2', 'fortran_order': False, 'shape': (8, 6)}"),
        "0.W damaged: expected 96 bytes of numbers, got more",
    ),
    "fewer numbers than the shape": (
        with_header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (8, 6)}"),
        "0.W damaged: expected 384 bytes of numbers, got 192",
    ),
    "a huge shape": (with_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 6)}"), "of shape"),
    "a header that is no Python": (with_header(b"{'descr': ((((("), "is not an .npz file of parameters"),
    "a nested header": (with_header(b"(" * 9000), "is not an .npz file of parameters"),
    "another version": (with_header(b"{}", version=(2, 0)), "another version of NumPy's format"),
    "a bomb": (bomb, "holds 0.W, 0.b, 2.W, 2.b, 4.W, 4.b, bomb, and this network has 0.W"),
    "one name twice": (twice, "holds 0.W, 0.b, 2.W, 2.b, 4.W, 4.b, 0.W, and"),
    "nothing": (lambda path: zipfile.ZipFile(path, "w").close(), "holds nothing, and this network has"),
    "a name with an escape sequence": (with_an_escape_sequence, r"holds \\x1b\[31mxxx"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_is_made_to_do_harm_is_refused_in_one_sentence_and_changes_nothing(tmp_path, case):
    change, message = HOSTILE[case]
    path = tmp_path / "network.npz"
    initialized(1).save(path)
    change(path)
    network = initialized(0)
    before = network.theta.copy()
    tracemalloc.start()
    try:
        with pytest.raises(NetworkFileError, match=message) as raised:
            network.load(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert str(raised.value).startswith(str(path))
    assert str(raised.value).isprintable()
    assert np.array_equal(network.theta, before)


def test_a_file_of_float64_is_loaded_into_float32_and_back(tmp_path):
    initialized(1, dtype=np.float64).save(tmp_path / "network.npz")
    network = initialized(0).load(tmp_path / "network.npz")
    assert np.array_equal(network.theta, initialized(1).theta)
    network.save(tmp_path / "network.npz")
    assert np.array_equal(initialized(0, dtype=np.float64).load(tmp_path / "network.npz").theta, network.theta)


def test_the_infinities_of_a_network_that_diverged_are_loaded_as_they_are(tmp_path):
    network = initialized(0)
    network.theta[:3] = np.nan, np.inf, -np.inf
    network.save(tmp_path / "network.npz")
    loaded = initialized(1).load(tmp_path / "network.npz")
    assert np.array_equal(loaded.theta, network.theta, equal_nan=True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_in_both_orders_and_packed_too(tmp_path, save, order):
    arrays = arrays_of(initialized(1))
    save(tmp_path / "x.npz", **{name: np.array(A, ">f8", order=order) for name, A in arrays.items()})
    with (tmp_path / "x.npz").open("rb") as file:  # an open file is read as well
        loaded = arrays_of(initialized(0).load(file))
    assert all(np.array_equal(loaded[name], A) for name, A in arrays.items())


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        initialized().load(tmp_path / "network.npz")


def test_a_save_that_fails_leaves_the_old_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "network.npz"
    initialized(0).save(path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        initialized(1).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["network.npz"]


# --- bad input ---


@pytest.mark.parametrize("shape", [(8,), (7, 9), (7, 8, 1)])
def test_a_wrong_input_shape_says_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"expected inputs of shape \(..., n, 8\), got "):
        initialized().forward(np.zeros(shape))


def test_a_wrong_number_of_axes_says_what_is_expected_of_a_first_layer_that_takes_any_units(rng):
    with pytest.raises(ValueError, match=r"expected inputs of shape \(..., n, n_in\), got \(8,\)"):
        Network([Tanh(), linear(rng, 8, 4)]).forward(np.zeros(8))


@pytest.mark.parametrize("sizes", [[], [3], [3, 0, 2]])
def test_an_mlp_needs_sizes(sizes):
    with pytest.raises(ValueError, match="at least two sizes"):
        mlp(sizes)


@pytest.mark.parametrize("dropout", [-1, float("nan"), 1])
def test_a_dropout_that_is_no_probability_is_refused(rng, dropout):
    with pytest.raises(ValueError, match="expected a probability of dropping a unit, 0 ≤ p < 1"):
        mlp([3, 2, 1], dropout=dropout, rng=rng)


def test_whole_numbers_as_parameters_are_refused():
    with pytest.raises(ValueError, match="expected parameters of float32 or float64, got int64"):
        mlp([3, 2, 1], dtype=np.int64)


def test_a_device_that_does_not_exist_is_refused_in_one_sentence():
    with pytest.raises(DeviceError, match="unknown device 'tpu': choose cpu or cuda"):
        initialized().to("tpu")


@pytest.mark.skipif(cuda_problem() is None, reason="this machine has a GPU")
@pytest.mark.host
def test_a_device_that_is_not_there_is_refused_in_one_sentence():
    with pytest.raises(DeviceError, match="the device cuda cannot be used: CuPy "):
        initialized().to("cuda")


def test_dropout_without_a_generator_is_refused():
    with pytest.raises(ValueError, match="give mlp the rng"):
        mlp([3, 2, 1], dropout=0.2)


def test_layers_with_different_replica_axes_are_refused():
    with pytest.raises(ValueError, match="same replica axes"):
        Network([Linear(np.zeros((2, 3, 4)), np.zeros((2, 4))), Linear(np.zeros((4, 5)), np.zeros(5))])


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="at least one layer with parameters"):
        Network([ReLU()])


# --- networks in networks, copies, and what is no layer ---------------------------------------------------------


def nested(rng, lead=()):
    """Linear, (PReLU, Linear, Tanh), Linear: a network in a network, with a parameter in an activation."""
    inner = Network([PReLU(rng.normal(size=lead)), linear(rng, 6, 5, lead), Tanh()])
    return Network([linear(rng, 8, 6, lead), inner, linear(rng, 5, 4, lead)])


def linear(rng, n_in, n_out, lead=()):
    return Linear(rng.normal(size=(*lead, n_in, n_out)), rng.normal(size=(*lead, n_out)))


@pytest.mark.parametrize("lead", [(), (R,)], ids=["single", "replicas"])
def test_a_network_may_stand_in_a_network(rng, X, lead):
    network = nested(rng, lead)
    errors = gradcheck(network, X, rng=rng)
    assert list(errors) == ["X", "0.W", "0.b", "1.0.a", "1.1.W", "1.1.b", "2.W", "2.b"]
    first, inner, last = network.layers
    flat = Network([first, *inner.layers, last])  # the same layers
    assert np.array_equal(network.forward(X), flat.forward(X))


def test_an_inner_networks_theta_is_a_part_of_the_outer_ones(rng):
    network = nested(rng)
    inner = network.layers[1]
    assert inner.theta.size == 1 + 6 * 5 + 5
    network.theta[...] = 7
    assert (inner.theta == 7).all()
    inner.layers[1].W[...] = 3
    assert (network.theta == 3).sum() == 6 * 5


def test_nested_networks_print_and_are_initialized_layer_by_layer(rng):
    network = nested(rng)
    assert "1.1  Linear   6 → 5" in str(network)
    network.apply(init.linear(init.ones, rng=rng))
    assert (network.layers[1].layers[1].W == 1).all()
    assert network.layers[1].layers[0].a != 1  # an activation's parameter starts as the activation has it


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_the_parameters_of_a_copy_are_views_on_the_copys_theta(rng, X, copied):
    network = nested(rng, (R,))
    other = copied(network)
    assert np.array_equal(other.forward(X), network.forward(X))
    other.theta[...] = 0
    other.grad[...] = 5
    assert not other.forward(X).any()
    assert (other.layers[1].layers[1].dW == 5).all()
    assert network.theta.any()


def test_replicate_puts_equal_networks_side_by_side(rng, X):
    network, alone = nested(rng), nested(np.random.default_rng(0))
    alone.theta[...] = network.theta
    network.replicate((2, R))
    assert network.replicas == (2, R)
    Z = network.forward(X)
    assert Z.shape == (2, R, 7, 4)
    np.testing.assert_allclose(Z, np.broadcast_to(alone.forward(X), Z.shape), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rng: [linear(rng, 8, 4), Tanh], "layer 1 is the class Tanh: give an object of it"),
        (lambda rng: [linear(rng, 8, 4), np.tanh], "layer 1, ufunc, has no method forward"),
        (lambda rng: [linear(rng, 8, 8)] * 2, "the same layer object stands in the network twice"),
        (lambda rng: [Tanh()], "needs at least one layer with parameters"),
        (lambda rng: [linear(rng, 8, 8), linear(rng, 8, 4, (2,))], "expected the same replica axes"),
        (lambda rng: [Undeclared(np.ones(3))], "declares a with 1 axes, and its attribute da is no array"),
        (lambda rng: [Undeclared([1.0])], "declares a with 1 axes, and its attribute a is no array"),
        (lambda rng: [Undeclared(np.array(1.0))], "declares a with 1 axes, and its attribute a is no array"),
    ],
    ids=["a class", "a function", "twice", "no parameters", "other replicas", "no gradient", "a list", "no axis"],
)
def test_what_is_no_layer_is_refused_in_one_sentence(rng, make, message):
    with pytest.raises(ValueError, match=message):
        Network(make(rng))


class Undeclared(Tanh):
    params = {"a": 1}

    def __init__(self, a):
        self.a = a


class Bare:
    """y = −x: a class that does not inherit from Layer, and declares nothing."""

    def forward(self, X, train=False):
        return -X

    def backward(self, dY):
        return -dY


def test_a_layer_need_not_inherit_from_layer(rng, X, tmp_path):
    W, b = rng.normal(size=(8, 4)), rng.normal(size=4)
    network = Network([Linear(W.copy(), b.copy()), Bare()]).replicate((2,)).to("cpu")
    np.testing.assert_allclose(copy.deepcopy(network).forward(X)[1], -(X @ W + b))
    assert str(network).splitlines()[2:4] == ["0  Linear  8 → 4          72", "1  Bare"]
    network.save(tmp_path / "network.npz")
    network.load(tmp_path / "network.npz")


class First(Linear):
    def backward(self, dY, need_dX=True):
        self.asked = need_dX
        return super().backward(dY, need_dX)


@pytest.mark.parametrize("need", [True, False])
def test_the_first_layer_is_asked_for_dX_where_the_caller_needs_it_also_in_an_inner_network(rng, X, need):
    first = First(rng.normal(size=(8, 6)), np.zeros(6))
    network = Network([Network([first, Tanh()]), linear(rng, 6, 4)])
    network.forward(X)
    dX = network.backward(rng.normal(size=(7, 4)), need_dX=need)
    assert first.asked is need
    assert (dX is None) != need


def test_all_parameters_take_the_dtype_of_the_first_one():
    network = Network([Linear(np.zeros((3, 2), np.float32), np.zeros(2))])
    assert network.theta.dtype == network.layers[0].b.dtype == np.float32


@pytest.mark.host
def test_a_normalization_is_given_arrays_of_the_networks_dtype():
    def normalization(gamma, beta):
        given.extend([gamma.dtype, beta.dtype])
        return LayerNorm(gamma, beta)

    given = []
    mlp([4, 3, 2], normalization=normalization)
    assert given == [np.float32, np.float32]


def test_the_parameters_of_an_activation_keep_their_start_and_take_the_networks_dtype():
    network = mlp([8, 6, 5, 4], activation=PReLU, replicas=(R,))
    assert network.theta.dtype == np.float32
    assert [float(layer.a[1]) for layer in network.layers if isinstance(layer, PReLU)] == [0.25, 0.25]
    assert network.layers[1].a.shape == (R,)


def test_theta_is_filled_when_values_are_assigned_to_it():
    """As one who puts the best weights back does."""
    network = mlp([6, 5, 4], dtype=np.float64)
    theta = network.theta
    network.theta = np.arange(theta.size)
    assert network.theta is theta
    assert network.layers[0].W[0, 1] == 1
    network.theta *= 2
    assert network.layers[0].W[0, 1] == 2
    with pytest.raises(ValueError, match="could not broadcast"):
        network.theta = np.zeros(theta.size + 1)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_parameters_of_another_type_are_refused(dtype):
    with pytest.raises(ValueError, match="expected parameters of float32 or float64, got"):
        mlp([3, 2], dtype=dtype)

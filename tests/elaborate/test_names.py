"""Names: what introduces them, what may read them, hyper-parameters and settings."""

import pytest

import specdsl

REFUSED = {
    "W + alhpa*A@B": "did you mean `alpha`",
    "W + A@B | penalty orth(C)": "`C` is unknown here",
    "A ~ C@D | W + A@B": "`C` is unknown here",
    "W + A@B | D : n x m": "nothing reads the factor `D`",
    "k = 3 | W + A@B": "nothing reads `k`",
    "W = W + A@B": "`W` is the module's own",
    "W' = W + A@B | W' = W": "`W'` is assigned twice",
    "n = 3 | W + A@B": "`n` has a fixed meaning",
    "k = 3 | k = 4 | W + A@B": "`k` is introduced twice",
    "z' = W": "`z'` is no value of a module",
    "W' = W' + A@B": "defined by itself",
    "V = U + W | U = V | W' = V": "defined by itself",
    "f(Z) = f(Z) | W + f(A)@B": "`f` is defined by itself",
    "f(Z) = Z | W + f(A, B)": "`f` takes 1 argument, not 2",
    "W' = W + outer(b, b)": "W' reads the bias `b`",
    "W' = W + A@B*sum(b)": "W' reads the bias `b`",
    "W' = W + A@x": "W' reads `x`",
    "W' = W@A | y' = y + x@C@D": "W' is assigned but y' does not read it",
    "W + A@B | penalty norm(W)": "reads no factor",
    "W + rellu(A)@B": "did you mean `relu`",
    "W + relu@A": "`relu` is an operator and needs arguments",
    "W + A@B | B ~ zeros, rl = 2": "no attribute `rl`",
    "W + A@B | frozen B ~ zeros, lr = 2": "is not trained",
    "U, S, V = relu(W) | W' = U@diag(S)@V": "is one value, not 3",
    "U, S = svd(W) | W' = W + U@diag(S .* d)@U.T": "gives 3 values, not 2",
    "W + A@B | on attention | on mlp": "a spec has one `on`",
    "title: a\ntitle: b\nW + A@B": "`title:` is given twice",
    "starts: here\nW + A@B": "`starts: here` is unknown",
    "W' + A@B": "no equation assigns it",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_names_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(specdsl.SpecError, match=message.replace("(", r"\(").replace(")", r"\)")):
        specdsl.parse(text)


def test_what_is_not_built_yet_says_so() -> None:
    with pytest.raises(specdsl.SpecNotBuiltError, match="not built yet"):
        specdsl.parse("k = 3 | A : n x r for i < k | W + A@B")


def test_several_independent_mistakes_are_reported_together() -> None:
    with pytest.raises(specdsl.SpecErrors) as caught:
        specdsl.parse("W = 3\nA ~ zeros, rl = 2\nq' = W")
    assert [error.line for error in caught.value.errors] == [1, 2, 3]


def test_hyperparameters_are_set_from_outside() -> None:
    spec = specdsl.parse("k = 2*r | W + alpha/r * A@B | A : n x k", r=4)
    assert {name: int(value) for name, value in spec.hyperparameters.items()} == {"r": 4, "alpha": 4, "k": 8}
    assert int(spec.set(k=5).hyperparameters["k"]) == 5


def test_alpha_follows_r_unless_it_is_set() -> None:
    assert int(specdsl.parse("W + alpha/r * A@B", r=4).hyperparameters["alpha"]) == 4
    assert int(specdsl.parse("W + alpha/r * A@B | alpha = 32", r=4).hyperparameters["alpha"]) == 32


def test_a_setting_that_nothing_uses_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(specdsl.SpecSettingError, match="did you mean `alpha`"):
        specdsl.parse("W + alpha/r * A@B", alhpa=3)
    with pytest.raises(specdsl.SpecSettingError, match="no hyper-parameter `alpha` is used"):
        specdsl.parse("W + A@B", alpha=3)


def test_the_target_of_a_bare_expression_follows_from_what_it_reads() -> None:
    targets = {"W + A@B": "W", "b + d": "b", "y .* l": "y", "relu(x@A)@B + y": "y"}
    assert {text: next(iter(specdsl.parse(text).ir.targets)) for text in targets} == targets


def test_a_product_of_W_by_a_star_in_a_sum_warns() -> None:
    with pytest.warns(specdsl.SpecWarning, match="is a matrix product"):
        specdsl.parse("W + W*A")


@pytest.mark.parametrize(
    "text",
    [
        "r = 4 | W + A@B",
        "r = 4 | W + alpha*A@B | A : n x 16",
        "k = 16 | W + A@B | B ~ zeros, lr = k",
        "shared(layer // k) A : r x r ~ kaiming | k = 2 | W + C@A@B",
        "r = 4 | on mlp: y' = y .* l | on attention: W' = W + A@B",
        "V, explained = pca(x) | r = allocate(layers(explained), 8)[layer] | A ~ V[:, :r] | W' = W + A@B",
    ],
)
def test_a_hyper_parameter_is_read_by_sizes_attributes_keys_and_other_parts(text: str) -> None:
    specdsl.parse(text)

"""How one module computes its adapted output: the step between algebra and code.

The output is rewritten so that factors act on activations where that is cheaper than building W', by a simple rule:
fewer floating-point operations over forward and backward, with the base weight's own product counted as given. The
result is printable (`str(plan)`), and nothing here touches torch.

`preparation` decides sizes, `cost` counts, `pushing` finds the forms that are equal, `planner` takes the cheapest.
"""

from specdsl.plan.constants import layer_lists, stored_bytes
from specdsl.plan.cost import Cost
from specdsl.plan.diagonals import without_diagonals
from specdsl.plan.forms import TOKENS, LayerTraits, Project, Through
from specdsl.plan.names import names_in_plans, with_names
from specdsl.plan.planner import make_plan
from specdsl.plan.preparation import prepared, prepared_penalties, prepared_weight
from specdsl.plan.program_order import gradient_wanted, inputs_of, program_order
from specdsl.plan.result import Plan
from specdsl.plan.text import plan_text

__all__ = [
    "TOKENS", "Cost", "LayerTraits", "Plan", "Project", "Through", "gradient_wanted", "inputs_of", "layer_lists",
    "make_plan", "names_in_plans", "plan_text", "prepared", "prepared_penalties", "prepared_weight", "program_order",
    "stored_bytes", "with_names", "without_diagonals",
]  # fmt: skip

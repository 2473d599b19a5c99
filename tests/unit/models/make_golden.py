"""Write golden.json: what `transformers` on PyTorch makes of the models in golden_models.py.

Run where PyTorch and transformers are: python tests/unit/models/make_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import golden_models
import torch
import transformers


def golden(case: str) -> dict:
    """Shapes of the weights, some logits, the loss, and each gradient along a fixed direction."""
    hub = dict(golden_models.CASES[case])
    hub.pop("architectures")
    config = transformers.AutoConfig.for_model(**hub)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    tied = hub["tie_word_embeddings"]
    shapes = {k: list(v.shape) for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    state = {k: torch.from_numpy(golden_models.tensor(case, k, tuple(s))) for k, s in shapes.items()}
    if tied:
        state["lm_head.weight"] = next(v for k, v in state.items() if k.endswith(("embed_tokens.weight", "wte.weight")))
    model.load_state_dict(state)
    ids = torch.from_numpy(golden_models.tokens())
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    gradients = {
        k: float((p.grad.double() * torch.from_numpy(golden_models.tensor(case, k, tuple(p.shape), "grad"))).sum())
        for k, p in model.named_parameters()
    }
    return {
        "shapes": shapes,
        "loss": float(loss.detach()),
        "gradients": gradients,
        "logits": [[round(x, 6) for x in row] for row in logits[1, [0, 63, 64, 139]].tolist()],
    }


if __name__ == "__main__":
    out = {"torch": torch.__version__, "transformers": transformers.__version__}
    out["cases"] = {case: golden(case) for case in golden_models.CASES}
    Path(__file__).with_name("golden.json").write_text(json.dumps(out) + "\n")

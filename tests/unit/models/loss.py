"""A model's loss on tokens, its logits, and the gradient of each weight by the hub's name."""

import jax
import jax.numpy as jnp
from flax import nnx

from falsepromise.models import weights
from falsepromise.models.hubkeys import entries


def loss_and_gradients(model, config, tokens):
    """The mean cross-entropy of the following tokens, the logits, `{key: gradient}`."""
    graph, state = nnx.split(model)

    @jax.jit
    def loss_of(state):
        logits = nnx.merge(graph, state)(tokens)
        log_p = jax.nn.log_softmax(logits[:, :-1])
        return -jnp.take_along_axis(log_p, tokens[:, 1:, None], axis=2).mean(), logits

    (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(state)
    leaves, groups = weights.flatten(nnx.merge(graph, gradient)), {}
    for entry in entries(config):
        groups.setdefault(entry.key, []).append(entry)
    return float(loss), logits, {key: weights._to_hub(group, leaves, jnp.float32) for key, group in groups.items()}

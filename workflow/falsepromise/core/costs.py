"""What jobs cost: GPUs, memory and minutes to ask a scheduler for, by the size of the model."""

from __future__ import annotations

from falsepromise.core.study import Study


class Costs(Study):
    """A study with its jobs' costs. They are estimates to ask for, never parts of a result."""

    def gpus(self, base: str) -> int:
        """GPUs for a full fine-tuning: none below 100M parameters, one up to 2B, a node of 8 above.

        The weights, the two moments and the gradients in float32 are 16 bytes a parameter:
        112 GB for 7B, 208 GB for 13B, before activations.
        """
        size = self.parameters(base)
        return self.bases[base].get("gpus", 0 if size < 100e6 else 1 if size < 2e9 else 8)

    def device(self, base: str) -> str:
        """JAX's platform: small models leave a GPU alone, large ones take what JAX finds."""
        return "''" if self.gpus(base) else "cpu"

    def threads(self, base: str) -> int:
        return 8 if self.gpus(base) else 1

    def train_minutes(self, base: str, tokens: int | None) -> int:
        """Minutes to ask for: 6 FLOPs a parameter and token at 40 % of an A100's 312 TFLOP/s (a CPU
        core: 10 GFLOP/s), doubled, and a quarter of an hour to start.
        """
        speed = self.gpus(base) * 0.4 * 312e12 or 10e9
        flops = 6 * self.parameters(base) * (tokens or (100e6 if self.gpus(base) else 1e6))
        return 15 + int(2 * flops / speed / 60)

    def evaluation_minutes(self, base: str) -> int:
        """Minutes to ask for: an hour, and half an hour more for every billion parameters."""
        return int(60 + 30 * self.parameters(base) / 1e9)

    def memory_mb(self, base: str) -> int:
        """Host memory: the weights in float32 twice (read and written), and room to run."""
        return 2000 + int(8 * self.parameters(base) / 1e6)

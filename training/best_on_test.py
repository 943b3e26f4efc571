"""The paper's protocol: TEST is asked after every epoch and the best one kept. Knows files and one number per look.

An honest run has no use for it.
"""

import json

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from training.cache import Cache
from training.checkpoint import written_whole
from training.train import Run, predict


class BestOnTest:
    """The paper's protocol: TEST after every epoch, the best epoch is kept. Its number is chosen, and says so."""

    def __init__(self, run: Run, test: Cache, resumed: bool) -> None:
        self._run, self._test = run, test
        self._weights, self._accuracies = run.folder / "best.safetensors", run.folder / "best.json"
        self.accuracies: dict[int, float] = {}  # by epoch; trials of what comes after the epochs count on
        self._best = (
            -1.0
        )  # of the weights that are kept: an epoch judged again may come out otherwise on another machine
        if resumed and self._weights.exists() and self._accuracies.exists():
            with safe_open(self._weights, framework="pt") as file:
                self._best = float((file.metadata() or {})["test_accuracy"])
            self.accuracies = {int(look): value for look, value in json.loads(self._accuracies.read_text()).items()}

    def look(self, epoch: int, model: nn.Module) -> float:
        """An epoch that a cut-off run judged and did not finish is judged again, to the same result."""
        logits = predict(model, self._test, self._run.recipe.input_px, self._run.device)
        accuracy = float((logits.argmax(axis=1) == self._test.labels).mean())
        if accuracy > self._best:
            self._best = accuracy
            with written_whole(self._weights) as path:
                weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
                save_file(weights, path, metadata={"test_accuracy": repr(accuracy)})
        self.accuracies[epoch] = accuracy
        with written_whole(self._accuracies) as path:
            path.write_text(json.dumps(self.accuracies))
        self._run.log({"event": "test", "epoch": epoch, "test_accuracy": accuracy})
        return accuracy

    def restore(self, model: nn.Module) -> None:
        """Back to the weights that did best."""
        model.load_state_dict(load_file(self._weights))

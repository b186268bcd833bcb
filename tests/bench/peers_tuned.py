"""Peers that tune an encoder of their own, whole or by LoRA, and those that find slots; the others stand in ``peers``.

Arguments and results are as there: sides in, predictions for the test and the seconds of training out, nothing printed.
"""

from __future__ import annotations

import copy
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.heads import spans_from_tags
from finetune.evaluate import span_figures
from finetune.examples import Labelled, Tagged
from finetune.slots import Spans, tags_of
from tests.bench.peers import DEFAULT_STRENGTH, MOST_TOKENS, Body, Epoch, Found, Predicted, hush, linear, step


def full_finetune(
    train: Sequence[Labelled],
    validation: Sequence[Labelled],
    test: Sequence[Labelled],
    model: Path,
    *,
    epochs: int = 8,
    rate: float = 5e-5,
    bfloat16: bool = False,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Predicted:
    """Fine-tune every weight of the encoder, with mean pooling and a linear layer; the epoch that validates best is kept.

    Args:
        train: Examples.
        validation: Chooses the epoch.
        test: Examples to predict.
        model: Folder of the base encoder.
        epochs: Passes over ``train`` in batches of 32.
        rate: Peak of AdamW's learning rate, 2e-5 to 5e-5 as is usual; the new layer's is 20 times higher.
        bfloat16: Whether the encoder's products run in bfloat16 (autocast); weights stay float32.
        seed: Of the new layer and the order.
        on_epoch: Called after every epoch.

    Returns:
        The predictions, with the epochs.
    """
    import torch
    from torch.nn import functional as fn

    started = time.perf_counter()
    torch.manual_seed(seed)
    classes = tuple(sorted({one.label for one in train}))
    body = Body(model)
    head = torch.nn.Linear(body.dim, len(classes))
    truth = torch.tensor([classes.index(one.label) for one in train])

    def loss(rows: list[int]) -> Any:
        pooled = body.pooled([train[row].text for row in rows], bfloat16=bfloat16)
        return fn.cross_entropy(head(fn.dropout(pooled, 0.1)), truth[rows])

    def scores(examples: Sequence[Labelled]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = head(torch.from_numpy(body.encode([one.text for one in examples])))
            found: NDArray[np.float32] = logits.log_softmax(1).numpy()
            return found

    def judge() -> float:
        return float(
            np.mean([classes[at] == one.label for at, one in zip(scores(validation).argmax(1), validation, strict=True)])
        )

    history = _tune(body, head, len(train), loss, judge, epochs, rate, seed, on_epoch)
    seconds = time.perf_counter() - started
    kind = "bfloat16" if bfloat16 else "float32"
    return Predicted(f"full fine-tuning, {kind}", classes, scores(test), seconds, history, note=f"{epochs} epochs, {rate:g}")


def trainer_lora_fp32(
    train: Sequence[Labelled],
    validation: Sequence[Labelled],
    test: Sequence[Labelled],
    model: Path,
    *,
    epochs: int = 8,
    rate: float = 5e-4,
    batch: int = 32,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Predicted:
    """Train LoRA r=16 on all linear layers with transformers' Trainer and peft, in float32 on the CPU.

    What is not named here is the libraries' default: a classifier on the pooler, AdamW, a linear schedule without warm-up, no
    dropout in LoRA. The last epoch predicts.

    Args:
        train: Examples.
        validation: Judged after every epoch, its seconds not counted.
        test: Examples to predict.
        model: Folder of the base encoder.
        epochs: Passes over ``train``.
        rate: Learning rate; the Trainer's own default, 5e-5, is meant for all weights and hardly moves LoRA's.
        batch: Examples per step; the Trainer's own default is 8.
        seed: Of everything.
        on_epoch: Called after every epoch.

    Returns:
        The predictions, with the epochs for ``seconds_to_within``.
    """
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    hush()
    started = time.perf_counter()
    set_seed(seed)
    classes = tuple(sorted({one.label for one in train}))
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    bare = AutoModelForSequenceClassification.from_pretrained(str(model), num_labels=len(classes), dtype=torch.float32)
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=16, lora_alpha=32, target_modules="all-linear")
    adapted = get_peft_model(bare, lora)
    history: list[Epoch] = []
    judging = [0.0]

    def rows(examples: Sequence[Labelled]) -> list[dict[str, Any]]:
        ids = tokenizer([one.text for one in examples], truncation=True, max_length=MOST_TOKENS)["input_ids"]
        return [{"input_ids": row, "labels": classes.index(one.label)} for row, one in zip(ids, examples, strict=True)]

    def scores(examples: Sequence[Labelled]) -> NDArray[np.float32]:
        adapted.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(examples), 64):
                texts = [one.text for one in examples[start : start + 64]]
                packed = tokenizer(texts, truncation=True, max_length=MOST_TOKENS, padding=True, return_tensors="pt")
                found.append(adapted(**packed).logits.log_softmax(1).numpy())
        adapted.train()
        return np.concatenate(found)

    class Judge(TrainerCallback):  # type: ignore[misc]
        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            paused = time.perf_counter()
            guesses = scores(validation).argmax(1)
            score = float(np.mean([classes[at] == one.label for at, one in zip(guesses, validation, strict=True)]))
            history.append(Epoch(len(history) + 1, paused - started - judging[0], score))
            if on_epoch:
                on_epoch(history[-1])
            judging[0] += time.perf_counter() - paused

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            num_train_epochs=epochs,
            learning_rate=rate,
            per_device_train_batch_size=batch,
            seed=seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        collate = DataCollatorWithPadding(tokenizer)
        Trainer(adapted, arguments, data_collator=collate, train_dataset=rows(train), callbacks=[Judge()]).train()
    seconds = time.perf_counter() - started - judging[0]
    note = f"{epochs} epochs, {rate:g}, batch {batch}"
    return Predicted("Trainer + peft LoRA r=16, float32", classes, scores(test), seconds, tuple(history), note)


def slots_frozen_logreg(train: Sequence[Tagged], test: Sequence[Tagged], model: Path) -> Found:
    """Train logistic regression on the frozen encoder's token states ``(T, D)``, each token for itself, with IOB2 tags."""
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    body = Body(model)
    states, tags = [], []
    for one, (hidden, offsets) in zip(train, body.tokens([one.text for one in train]), strict=True):
        real = [row for row, (left, right) in enumerate(offsets) if right > left]
        wanted = tags_of(one.spans, offsets)
        states.append(hidden[real])
        tags += [wanted[row] for row in real]
    head = LogisticRegression(C=DEFAULT_STRENGTH, max_iter=300).fit(np.concatenate(states), tags)
    seconds = time.perf_counter() - started
    found = []
    for one, (hidden, offsets) in zip(test, body.tokens([one.text for one in test]), strict=True):
        found.append(spans_from_tags([str(tag) for tag in head.predict(hidden)], offsets, one.text))
    return Found("frozen encoder + logistic regression per token", found, seconds)


def slots_full_finetune(
    train: Sequence[Tagged],
    validation: Sequence[Tagged],
    test: Sequence[Tagged],
    model: Path,
    *,
    epochs: int = 8,
    rate: float = 5e-5,
    bfloat16: bool = False,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Found:
    """Fine-tune every weight of the encoder with a linear tagger on its tokens; arguments as in ``full_finetune``."""
    import torch
    from torch.nn import functional as fn

    started = time.perf_counter()
    torch.manual_seed(seed)
    slots = sorted({slot for one in train for _, _, slot in one.spans})
    labels = ["O", *(f"{kind}-{slot}" for slot in slots for kind in "BI")]
    body = Body(model)
    head = torch.nn.Linear(body.dim, len(labels))

    def loss(rows: list[int]) -> Any:
        block = body.hidden([train[row].text for row in rows], bfloat16=bfloat16)
        wanted = torch.full(block.mask.shape, -100)
        for at, row in enumerate(rows):
            for place, tag in enumerate(tags_of(train[row].spans, block.offsets[at])):
                if block.offsets[at][place][1] > block.offsets[at][place][0]:
                    wanted[at, place] = labels.index(tag)
        return fn.cross_entropy(head(fn.dropout(block.hidden, 0.1)).flatten(0, 1), wanted.flatten(), ignore_index=-100)

    def found(examples: Sequence[Tagged]) -> Spans:
        spans = []
        with torch.inference_mode():
            for one, (hidden, offsets) in zip(examples, body.tokens([one.text for one in examples]), strict=True):
                best = head(torch.from_numpy(hidden)).argmax(1).tolist()
                spans.append(spans_from_tags([labels[at] for at in best], offsets, one.text))
        return spans

    def judge() -> float:
        return span_figures(found(validation), [one.spans for one in validation])["f1"]

    history = _tune(body, head, len(train), loss, judge, epochs, rate, seed, on_epoch)
    kind = "bfloat16" if bfloat16 else "float32"
    return Found(f"full fine-tuning of a tagger, {kind}", found(test), time.perf_counter() - started, history)


def _tune(
    body: Body,
    head: Any,
    count: int,
    loss: Callable[[list[int]], Any],
    judge: Callable[[], float],
    epochs: int,
    rate: float,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None,
    batch: int = 32,
) -> tuple[Epoch, ...]:
    """Train body and head with AdamW, warm-up over a tenth and linear decay; leave the weights of the best epoch."""
    import torch

    groups = [{"params": list(body.model.parameters()), "lr": rate}, {"params": list(head.parameters()), "lr": 20 * rate}]
    weights = [one for group in groups for one in group["params"]]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, linear(epochs * -(-count // batch)))
    rng = random.Random(seed)
    history: list[Epoch] = []
    best: Any = None
    spent = 0.0
    for number in range(1, epochs + 1):
        began = time.perf_counter()
        body.model.train()
        order = list(range(count))
        rng.shuffle(order)
        for start in range(0, count, batch):
            step(optimiser, schedule, loss(order[start : start + batch]), weights)
        spent += time.perf_counter() - began
        history.append(Epoch(number, spent, judge()))
        if on_epoch:
            on_epoch(history[-1])
        if history[-1].score >= max(one.score for one in history):
            best = copy.deepcopy((body.model.state_dict(), head.state_dict()))
    if best is not None:
        body.model.load_state_dict(best[0])
        head.load_state_dict(best[1])
    return tuple(history)

"""Examples to adapters: training, evaluation and promotion of heads and LoRA weights on the frozen encoder."""

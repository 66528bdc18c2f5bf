"""Conv-4, the small backbone of few-shot learning (Vinyals et al., Matching Networks, NeurIPS 2016)."""

from torch import Tensor, nn


class Conv4(nn.Module):
    """Maps normalised images (N, 3, H, W) to embeddings (N, D): four conv-bn-relu-pool blocks, flattened.

    Args:
        width: channels of every block.
        input_size: side of the square input in pixels; D = width * (input_size // 16) ** 2.
    """

    def __init__(self, width: int = 64, input_size: int = 32) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for inputs in (3, width, width, width):
            blocks += [
                nn.Conv2d(inputs, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.embedding_dim = width * (input_size // 16) ** 2

    def forward(self, x_N3HW: Tensor) -> Tensor:
        embeddings: Tensor = self.blocks(x_N3HW).flatten(1)
        return embeddings

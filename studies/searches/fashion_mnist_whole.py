"""What does a search of 32 Sobol configurations find that all train to their end?

The counterpart of `studies.searches.fashion_mnist`, which says what both compare.

    uv run sparsetune run studies.searches.fashion_mnist_whole
"""

from sparsetune import Sobol
from studies.searches import fashion_mnist

STUDY = fashion_mnist.STUDY.with_changes(
    name="search-fashion-mnist-whole", sampler=Sobol(), configurations_per_cell=32
)

if __name__ == "__main__":
    STUDY.run()

"""What does a search of 32 Sobol configurations find that all train to their end?

The counterpart of `studies.searches.digits`, which says what both compare.

    uv run sparsetune run studies.searches.digits_whole
"""

from sparsetune import Sobol
from studies.searches import digits

STUDY = digits.STUDY.with_changes(
    name="search-digits-whole", sampler=Sobol(), configurations_per_cell=32
)

if __name__ == "__main__":
    STUDY.run()

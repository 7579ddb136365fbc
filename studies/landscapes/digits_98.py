"""How good is every recipe for very sparse networks on handwritten digits, on six seeds?

The cells of `studies.landscapes.digits` whose results vary most between seeds, AC/DC and RigL at
98 %, recorded again: with three seeds the regret of a search could not be told from half the
standard deviation of one seed. 258 points of one Sobol sequence in each cell, base and control
among them.

Hardware: two CPU cores; the time is measured in README.md of the folder above.

    uv run sparsetune run studies.landscapes.digits_98
"""

from studies.landscapes import digits

STUDY = digits.STUDY.with_changes(
    name="landscape-digits-98",
    question="How good is every recipe for very sparse networks on handwritten digits?",
    arms={name: digits.STUDY.arms[name] for name in ("acdc", "rigl")},
    sweep={"sparsity.target": [0.98]},
    configurations_per_cell=258,
    search_seeds=6,
)

if __name__ == "__main__":
    STUDY.run()

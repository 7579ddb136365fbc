"""Does the default search of few configurations find what a search of many finds?

LeNet-300-100 on 10,000 images of Fashion-MNIST, of which 2,000 validate, dense and pruned by GMP to
95 and 99 % in 12 epochs. This study leaves out how to search;
`studies.searches.fashion_mnist_whole` is the same with 32 Sobol configurations that all train to
their end. Winners of both run on the same five fresh seeds.

Hardware: two CPU cores; the time is measured in README.md of the folder above. Data: Fashion-MNIST,
31 MB, downloaded by torchvision or found in `SPARSETUNE_DATA`.

    uv run sparsetune run studies.searches.fashion_mnist
    uv run sparsetune run studies.searches.fashion_mnist_whole
"""

from studies.landscapes import fashion_mnist

STUDY = fashion_mnist.STUDY.with_changes(
    name="search-fashion-mnist",
    question="Does the default search of few configurations find what a search of many finds?",
    # Left out, as in a study that does not say how to search.
    sampler=None,
    configurations_per_cell=None,
    search_seeds=None,
    report_seeds=5,
)

if __name__ == "__main__":
    STUDY.run()

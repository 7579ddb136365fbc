"""What is best at a cost: budgets, equal training FLOPs, and the Pareto front of loss, sparsity and cost."""

"""Sentences on what checks found. Rules and remedies stand in `analysis.checks.registry`.

A finding is printed after its rule: "A trial must end at its target. 2 of 9 runs did not."
"""

from __future__ import annotations

from .template import Template

CHECK_SENTENCES = {
    # Runs
    "found_off_target": Template("SPT001 found runs", "{off} of {runs} did not, in {networks}."),
    "found_off_target_worst": Template(
        "SPT001 found runs whose sparsity is known",
        "The one furthest off ended at {reached} %, {target} % was asked for.",
    ),
    "found_unfinished": Template(
        "SPT004 found networks",
        "{waiting} of {networks} did not, with {configurations} of {configurations_asked} and"
        " {reports} of {reports_asked} done in them.",
    ),
    "found_failed": Template("SPT005 found runs", "{failed} of {runs} failed."),
    "found_failed_reason": Template(
        "SPT005 found runs that gave a reason", "The first of them said: {reason}."
    ),
    "found_all_diverged": Template(
        "SPT006 found searches without any survivor", "No configuration of {networks} converged."
    ),
    "found_diverged": Template("SPT006 found report runs", "{runs} diverged in {networks}."),
    "found_many_diverged": Template(
        "SPT006 found searches of which many runs diverged",
        "At least {share} % of the configurations diverged in {networks}, at most {most} %.",
    ),
    "found_stopped": Template("SPT007 found runs", "{early} of {runs} ended before."),
    "found_stopped_first": Template(
        "SPT007 found runs whose progress is known",
        "The first of them ended at {share} % of its training.",
    ),
    "found_empty_layers": Template(
        "SPT017 found layers", "In {networks} {layers} kept none ({names})."
    ),
    # What is compared
    "found_kind": Template(
        "SPT008, SPT009, SPT010, SPT011 or SPT020 found several kinds: one of them",
        "Some have {kind}: {places}.",
    ),
    "found_more_kinds": Template(
        "the same: kinds that are not named", "There are {rest} kinds more."
    ),
    "found_baselines": Template(
        "SPT012 found dense recipes",
        "At {epochs} epochs {recipes} differ in {measure} by more than chance explains (F test,"
        " p = {p}).",
    ),
    "found_baselines_range": Template(
        "SPT012 found dense recipes: the two furthest apart",
        "The lowest reaches {low}, the highest {high}.",
    ),
    "found_versions": Template(
        "SPT020 found launches", "The {launches} launches ran {package} {versions}."
    ),
    "found_flops": Template(
        "SPT022 found networks", "{networks} spent {times} times their twin's."
    ),
    "found_own_code": Template("SPT023 found a module", "`{module}` ran as {versions}."),
    # How winners were chosen
    "found_edge": Template(
        "SPT002 found networks",
        "The best {field} lies at or beyond its {end} end, {bound}, in {networks}: {names}.",
    ),
    "found_selected_on_test": Template(
        "SPT014 found the objective", "They were chosen by {measure}."
    ),
    "found_ranked_on_test": Template(
        "SPT014 found a table without validation, in which nothing was chosen",
        "Nothing was chosen, but best hyperparameters are read off {measure}.",
    ),
    "found_front_on_test": Template(
        "SPT014 found a table without validation, in which networks differ in training FLOPs",
        "Nothing was chosen, but the best networks for a cost are read off {measure}.",
    ),
    "found_best_columns": Template(
        "SPT015 found columns of a table by their names",
        "The table's {columns} hold the best of several evaluations.",
    ),
    "found_best_of": Template(
        "SPT015 found a column of a table that was not taken",
        "The {measure} of every run is the best of its values of {column}.",
    ),
    "found_best_epoch": Template(
        "SPT015 found runs",
        "{shown} of {runs} show an earlier evaluation or the best of several.",
    ),
    "found_unselected": Template(
        "SPT018 found the objective", "Winners were chosen by {objective}, curves show {measure}."
    ),
    "found_same_runs": Template(
        "SPT021 found networks", "In {networks} the same runs chose the winner and are shown."
    ),
    "found_same_runs_best": Template(
        "SPT021 found networks, and how many configurations were tried is known",
        "The winner is the best of up to {tried} configurations.",
    ),
    # Seeds
    "found_few_seeds": Template(
        "SPT003 found few seeds", "Some have no more than {seeds}, {few} of {networks}: {names}."
    ),
    "found_fewer_seeds": Template(
        "SPT003 found few seeds, not equally many", "Fewer than three have {few} of {networks}."
    ),
    "found_unsettled": Template(
        "SPT003 found differences",
        "The difference from the dense twin is not settled in {networks}: {names}.",
    ),
    "found_missing": Template(
        "SPT013 found missing results",
        "At {sparsity} % sparsity {lost} of {runs} have none, below it {others} of {rest}.",
    ),
    "found_missing_chance": Template(
        "SPT013 found missing results: how sure",
        "That is more than chance explains (permutation test of a rising share, p = {p}).",
    ),
    "found_equal": Template(
        "SPT016 found equal losses",
        "{runs} in {networks} have the losses of another seed to the last digit.",
    ),
    "found_same_start": Template(
        "SPT016 found equal first losses",
        "{runs} in {networks} start from the weights of another seed.",
    ),
    "found_twice": Template(
        "SPT016 found a seed twice",
        "{runs} in {networks} share configuration and seed with another.",
    ),
    # Records
    "found_step_twice": Template(
        "SPT019 found steps twice", "{found} of {runs} have a step twice."
    ),
    "found_step_missing": Template(
        "SPT019 found missing steps", "{found} of {runs} lack a step that others like them have."
    ),
    "found_incomplete": Template(
        "SPT019 found runs that count as complete before their end",
        "{found} of {runs} are marked COMPLETE before their end.",
    ),
    "found_ended_early": Template(
        "SPT019 found runs that are shorter than others",
        "{found} of {runs} are marked COMPLETE, though most runs like them end later.",
    ),
    "found_ledger": Template("SPT024 found something in the ledger", "Reading it gave: {notice}."),
    "found_file": Template(
        "SPT024 found a damaged file", "The files of run {run} are not: {fault}."
    ),
    # Learning
    "found_one_answer": Template(
        "SPT025 found networks of a classification",
        "{network}: {count} {answer} the same class for every test example, which is right for"
        " {share} % of them.",
    ),
    "found_constant": Template(
        "SPT025 found networks of another task",
        "{network}: {count} {predict} no better than one constant number.",
    ),
    # Slips in tables
    "found_complement": Template(
        "SPT026 found runs",
        "{runs} reached 100 % less the sparsity asked for, such as {reached} % for {asked} %.",
    ),
    "found_one_column": Template(
        "SPT027 found a column that was mapped twice",
        "The table's {column} is taken for {validation} and for {test}.",
    ),
    "found_equal_splits": Template(
        "SPT027 found equal columns", "{test} equals {validation} in all of {runs}."
    ),
    "found_share": Template(
        "SPT028 found an accuracy of one class",
        "{network}: all of {runs} are right for exactly {share} %, the share of one of {classes}"
        " classes.",
    ),
    "found_near_share": Template(
        "SPT028 found accuracies about that of one class",
        "{network}: all of {runs} are right for about {share} %, the share of one of {classes}"
        " classes.",
    ),
    "found_chance_loss": Template(
        "SPT028 found the loss of equal odds",
        "{network}: all of {runs} have a loss near {loss}, that of equal odds for {classes}"
        " classes.",
    ),
    "found_zero": Template("SPT028 found zeros", "{measure} is 0 in all of {runs}."),
    "found_copies": Template(
        "SPT029 found runs", "{runs} have all numbers of another run, in {networks}."
    ),
    "found_fall": Template(
        "SPT030 found runs", "It falls in {runs}, such as {run}: from {before} % to {after} %."
    ),
    "found_no_outcome": Template(
        "SPT031 found runs",
        "{lost} of {runs} have none in {networks}, for which no mean is shown.",
    ),
    "found_early_values": Template(
        "SPT031 found runs with values from before their end",
        "Values of {early} of them come from before their end and do not count.",
    ),
    "found_thinning": Template(
        "SPT032 found counts", "At {sparsities} % sparsity {counts} runs have a result."
    ),
    "found_thinning_chance": Template(
        "SPT032 found counts: how sure",
        "That is more than chance explains where runs fall on all sparsities alike (p = {p}).",
    ),
    "found_patchy": Template(
        "SPT036 found networks",
        "{cells} of {networks} lack some of the {asked} seeds, but not the same ones: {names}.",
    ),
    "found_swapped": Template(
        "SPT033 found an accuracy and a loss",
        "{first} falls where {second} should, and {second} rises where {first} should.",
    ),
    "found_swapped_sparsity": Template(
        "SPT033 found sparsities",
        "Sparsities asked for have the decimals of counted ones, and those reached are round.",
    ),
    "found_mixed_means": Template(
        "SPT034 found values",
        "{means} of {values} are means over {n} runs by their digits or their number of runs.",
    ),
    "found_pooled": Template(
        "SPT035 found networks",
        "{pooled} of {networks} show the mean of up to {most} configurations.",
    ),
    # Around the findings
    "checks_none": Template("no check found anything", "No check found anything."),
    "checks_not_run": Template(
        "results lack what a check needs", "{code} was not checked, for want of {columns}."
    ),
}

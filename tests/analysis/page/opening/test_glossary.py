"""Links to the glossary."""

from __future__ import annotations

from analysis.page.opening.glossary import TERMS, Glossary
from analysis.wording import TWIN_LABELS


def test_a_term_is_linked_once_at_its_first_use() -> None:
    glossary = Glossary()
    assert glossary.link("5 seeds and more Seeds") == (
        '5 <a class="term" href="#term-seed">seeds</a> and more Seeds'
    )
    assert glossary.link("seeds") == "seeds"
    assert [term.name for term in glossary.used] == ["seed"]


def test_the_longest_term_is_linked_and_no_part_of_a_word() -> None:
    glossary = Glossary()
    text = glossary.link("the dense network, reseeded")
    assert text == 'the <a class="term" href="#term-dense-network">dense network</a>, reseeded'


def test_the_label_of_the_dense_twin_in_figures_is_that_of_the_glossary() -> None:
    (twin,) = [term for term in TERMS if term.name == "dense twin"]
    for label in TWIN_LABELS.values():
        assert label.startswith("dense network, ")
        shared = label.removeprefix("dense network, same ").replace(" and ", ", ").split(", ")
        assert all(word in twin.meaning for word in shared)
        assert 'href="#term-dense-twin"' in Glossary().link(label)


def test_names_of_methods_are_no_common_words() -> None:
    glossary = Glossary()
    assert glossary.link("the test set") == "the test set"
    assert "#term-set" in glossary.link("SET at 98 %")
    assert "#term-re-tuning" in glossary.link("Re-tuning GMP")


def test_foreign_text_is_escaped_and_code_is_not_linked() -> None:
    glossary = Glossary()
    assert glossary.link("<b> & `--add-report-seeds seeds`") == (
        "&lt;b&gt; &amp; <code>--add-report-seeds seeds</code>"
    )
    assert glossary.used == []


def test_meanings_are_short_sentences_with_anchors_of_their_own() -> None:
    assert len({term.anchor for term in TERMS}) == len(TERMS)
    for term in TERMS:
        assert term.meaning.endswith(".")
        assert all(len(part.split()) <= 30 for part in term.meaning.split(". "))

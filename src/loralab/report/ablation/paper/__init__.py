"""Several ablations as one short paper: LaTeX made from their records, and a PDF where pdflatex is there."""

from loralab.report.ablation.paper.compiling import compiled
from loralab.report.ablation.paper.writing import Paper, paper_source, write_paper

__all__ = ["Paper", "compiled", "paper_source", "write_paper"]

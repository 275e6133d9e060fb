"""One page for a run, a study or an ablation: a single HTML file that asks nothing of the network."""

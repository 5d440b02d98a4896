"""Analysis of a theory: symmetries, their breaking, fundamental domains, slices. Results are frozen."""

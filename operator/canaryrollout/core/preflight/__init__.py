"""What must hold before the mesh is touched: an ordered chain of small checks, each with stable codes and remedies. Pure."""

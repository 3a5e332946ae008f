"""`make demo`: a healthy release and two broken ones on the local mesh, watched while they happen."""

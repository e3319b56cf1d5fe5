"""What `make demo` runs; see sandbox/ for the real RavenDB server it starts."""

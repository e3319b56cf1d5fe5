"""The figures we hold ourselves to (README.md in this folder), each against RavenDB's own operation in the same run."""

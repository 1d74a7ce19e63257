"""What `avaliacoes demo` is made of: child processes, what their sessions tell, and how it is shown."""

"""The `vaedge` command: one module per subcommand, and the code that the subcommands share."""

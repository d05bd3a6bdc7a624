"""The settings that each agent needs to find this proxy, tried with the versions in docs/clients.md."""

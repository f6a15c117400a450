"""`python -m service`: serve with the settings of the environment."""

from service.cli.serve import serve_or_exit

if __name__ == "__main__":
    serve_or_exit()

from stepwire_cli.main import main

main()

"""The benchmark suites; README.md beside this folder says what each one watches."""

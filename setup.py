"""factored: another factor of authentication in front of any web application."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "factored/__init__.py").read_text())[1]

COMMANDS = ("initializedb", "adduser", "removeuser", "listusers", "listuserinfo")

TESTS = [
    "Django",
    "Flask",
    "Paste",
    "PasteScript",
    "WebTest",
    "aiosmtpd",
    "babel",
    "PyMySQL>=1.1",
    "docutils",
    "hypothesis",
    "lingua>=4.15",
    "polib",
    "psycopg[binary]>=3.1",
    "pyramid_tm",
    "pytest",
    "pytest-cov",
    "trustme",
]

setup(
    name="factored",
    version=VERSION,
    description="Another factor of authentication in front of any web application (WSGI, Paste)",
    long_description=(HERE / "README.rst").read_text()
    + "\n\n"
    + (HERE / "CHANGES.rst").read_text(),
    long_description_content_type="text/x-rst",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Web Environment",
        "Framework :: Pyramid",
        "Framework :: Paste",
        "Intended Audience :: System Administrators",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: WSGI :: Middleware",
        "Topic :: System :: Systems Administration :: Authentication/Directory",
    ],
    keywords="two-factor authentication totp wsgi middleware paste pyramid auth_tkt",
    packages=find_packages(include=["factored", "factored.*"]),
    package_data={
        "factored": ["py.typed", "locale/*.pot", "locale/*/LC_MESSAGES/*.[mp]o"],
        "factored.web": ["templates/*.pt", "static/*"],
        "factored.store.migrations": ["script.py.mako"],
    },
    python_requires=">=3.10",
    install_requires=[
        "Chameleon>=4.5",
        "PasteDeploy>=3.1",
        "SQLAlchemy>=2.0.30",
        "alembic>=1.13",
        "cryptography>=42",
        "plaster_pastedeploy>=1.0",
        "pyotp>=2.9",
        "pyramid>=2.0.2",
        "pyramid_mailer>=0.15.1",
        "segno>=1.6",
        "translationstring>=1.4",
        "waitress>=3.0.1",
    ],
    extras_require={
        "postgresql": ["psycopg[binary]>=3.1"],
        "mysql": ["PyMySQL>=1.1"],
        "gunicorn": ["gunicorn>=22"],
        "paste": ["Paste>=3.10"],
        "test": [*TESTS, "gunicorn>=22"],
        "bench": ["WSGIProxy2>=0.5.1", "urllib3>=2.2"],
        "browser": ["playwright", "axe-playwright-python"],
        "check": ["mypy", "ruff", "Sphinx", "furo", "build"],
    },
    entry_points={
        "paste.app_factory": [
            "main = factored.app:app_factory",
            "simpleproxy = factored.app:simpleproxy",
            "hello = factored.app:hello",
        ],
        "paste.filter_app_factory": ["main = factored.app:filter_app_factory"],
        "paste.filter_factory": ["main = factored.app:filter_factory"],
        "factored.schemes": [
            "Google Auth = factored.schemes.totp:TotpScheme",
            "Email = factored.schemes.email_code:EmailScheme",
        ],
        "factored.finders": [
            "SQL = factored.finders.sql:SqlFinder",
            "Email Domain = factored.finders.email_domain:EmailDomainFinder",
        ],
        "factored.stores": ["SQL = factored.store.bundle:SqlStores"],
        "console_scripts": [
            "factored = factored.scripts.main:main",
            *(
                f"{prefix}{name} = factored.scripts.main:{name}"
                for name in COMMANDS
                for prefix in ("", "factored_")
            ),
            "gunicorn_paste = factored.scripts.gunicorn_paste:main",
            "gunicorn_paster = factored.scripts.gunicorn_paste:main",
        ],
    },
    zip_safe=False,
)

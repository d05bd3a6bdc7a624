from tests.document_files.conftest import exported, importer, small, texts

__all__ = ["exported", "importer", "small", "texts"]

"""Prompts of other tools become feature folders. Nothing is dropped in silence: it converts, is noted, or fails."""

from __future__ import annotations

from trimtab.artifacts.importers.detect import FORMATS, PromptFormat, detect_format, import_prompt
from trimtab.artifacts.importers.dotprompt import import_dotprompt
from trimtab.artifacts.importers.draft import ImportedPrompt
from trimtab.artifacts.importers.langfuse import import_langfuse
from trimtab.artifacts.importers.openai_prompt import import_openai_prompt
from trimtab.artifacts.importers.promptfoo import import_promptfoo
from trimtab.artifacts.importers.prompty import import_prompty

__all__ = [
    "FORMATS",
    "ImportedPrompt",
    "PromptFormat",
    "detect_format",
    "import_dotprompt",
    "import_langfuse",
    "import_openai_prompt",
    "import_prompt",
    "import_promptfoo",
    "import_prompty",
]

"""Numbers of people: phones, IBANs (ISO 13616, mod 97), payment cards (ISO/IEC 7812, Luhn).

Each form is tried at every place where a number begins, so that a number before it does not hide it. Patterns begin
with the digit and look back from there: that is a search for digits, and fast where there are none.
"""

from __future__ import annotations

import re

_END = r"(?![\w@%]|[.:/-]\d|,\d{3}(?!\d))"
"""no word, no decimals, no thousands follow"""

# ---- cards ----

_CARD = re.compile(
    r"\d(?<![\w.]\d)(?<!\d-\d)(?=("
    r"\d{3}([ \n-])\d{4}\2\d{4}\2\d{4}(?:\2\d{1,3})?|\d{3}([ \n-])\d{6}\3\d{4,5}|\d{11,18}"
    rf"){_END})"
)
_ISSUERS = (
    (re.compile(r"4"), (13, 16, 19)),  # Visa
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),  # Mastercard
    (re.compile(r"3[47]"), (15,)),  # American Express
    (re.compile(r"6011|64[4-9]|65"), (16, 19)),  # Discover
    (re.compile(r"30[0-5]|3095|36|3[89]"), (14, 16, 19)),  # Diners Club
    (re.compile(r"35"), (16, 19)),  # JCB
    (re.compile(r"1800|2131"), (15,)),  # its older ones
    (re.compile(r"62|81"), (16, 17, 18, 19)),  # UnionPay
    (re.compile(r"50|5[6-8]|6304|6759|676[1-3]|0604"), (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
)


def has_card(text: str) -> bool:
    return any(_is_card(found[0] + found[1]) for found in _CARD.finditer(text))


def _is_card(run: str) -> bool:
    digits = "".join(filter(str.isdigit, run))
    if len(set(digits)) < 2:
        return False
    return any(issuer.match(digits) and len(digits) in sizes for issuer, sizes in _ISSUERS) and luhn(digits)


def luhn(digits: str) -> bool:
    """Does the last digit check the others (ISO/IEC 7812-1, annex B)?"""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


# ---- IBANs ----

_IBAN = re.compile(r"\d(?:(?<=[A-Za-z]\d)|(?<=[A-Za-z][ -]\d))[ -]?\d(?=[ \n-]?[A-Za-z0-9])")
"""the check digits behind the country"""
_SIZES = {
    country: size
    for size, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD FK", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC",
        32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
"""characters of an IBAN by country (the SWIFT registry, release 99)"""


def has_iban(text: str) -> bool:
    return any(_is_iban(text, found.start()) for found in _IBAN.finditer(text))


def _is_iban(text: str, digits: int) -> bool:
    start = digits - (2 if text[digits - 1].isalpha() else 3)
    if start < 0 or text[start - 1 : start].isalnum():
        return False
    size = _SIZES.get(text[start : start + 2].upper())
    if size is None:
        return False
    kept: list[str] = []
    for place in range(start, min(start + 2 * size, len(text))):
        letter = text[place]
        if letter.isalnum():
            kept.append(letter)
            if len(kept) == size:
                return not text[place + 1 : place + 2].isalnum() and _mod97("".join(kept).upper())
        elif letter not in " \n-":
            return False
    return False


def _mod97(iban: str) -> bool:
    if not iban.isascii():
        return False
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97 == 1


# ---- phones ----

_BEGIN = re.compile(r"[\d+(](?<![\w./#@-].)(?<!\d,.)(?<![$€£]\s.)(?:(?<=\d)|(?=[+(]?\d))(?=(?:[ .()/\t-]{0,2}\d){6})")
_AFTER = rf"(?:\s?(?:x|ext\.?|extension|poste|#)\s?\d{{1,6}}(?!\w)|{_END})"
_RUN = re.compile(rf"\(?\+?\(?\d(?:[ .()/\t-]{{0,2}}\d){{6,17}}{_AFTER}")
"""digits as people group them"""
_HOME = re.compile(
    r"(?:(?:\+?1|001)[ .-]?)?(?:\([2-9]\d\d\)[ -]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}" + _AFTER + "|"  # North America
    r"0[1-9]\d{8,9}" + _AFTER + "|"  # without any space
    r"(?:\(0[1-9]\d{0,4}\)[ .-]?|0[1-9]\d{0,4}(?: ?[/-] ?|[ .]))\d{2,9}(?:[ .-]\d{2,8}){0,4}"
    + _AFTER  # with a zero to dial
)
_DATE = re.compile(r"(?:19|20)\d\d[-./ ]?[01]\d[-./ ]?[0-3]\d(?!\d)|[0-3]?\d[-./][0-3]?\d[-./](?:19|20)\d\d")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
_WORD = re.compile(
    r"(?:tel|tél|phone|mobile|mobil|cell|fax|whatsapp|portable|telefon|handy|móvil|☎|📞)"
    r"[a-zé]{0,8}\.?(?:[\s_](?:number|nummer|numéro|no|nr|n°)\.?)?[\s:#=is'\"(]{0,10}\Z",
    re.IGNORECASE,
)
_CODES = re.compile(r"[17]|2[0-79]|[34569]\d|8[0-24-8]")
"""country codes, of those with three digits the first two (ITU-T E.164)"""


def has_phone(text: str) -> bool:
    return any(_is_phone(text, found.start()) for found in _BEGIN.finditer(text))


def _is_phone(text: str, start: int) -> bool:
    if text[start] not in "+(" and start > 1 and text[start - 2].isdigit():
        return False  # in the middle of other numbers
    home = _HOME.match(text, start)
    if home is not None and not _DATE.match(home[0]) and _varied(home[0]) and 9 <= sum(map(str.isdigit, home[0])) <= 20:
        return True
    found = _RUN.match(text, start)
    if found is None or _DATE.match(found[0]) or _ADDRESS.match(found[0]):
        return False
    run = found[0]
    digits = "".join(filter(str.isdigit, run))
    if not _varied(run) or not 7 <= len(digits) <= 15:
        return False
    if "+" in run:
        return len(digits) >= 8 and _country(digits)
    if run.startswith("00") and not run.isdigit() and len(digits) >= 10:
        return _country(digits[2:])
    return _WORD.search(text[max(start - 32, 0) : start]) is not None


def _varied(run: str) -> bool:
    """Not 000-000-0000, nor the digits in their order."""
    digits = "".join(filter(str.isdigit, run))
    return len(set(digits)) > 2 and digits not in "01234567890123456789"


def _country(digits: str) -> bool:
    return _CODES.match(digits) is not None

"""Where people's names and postal addresses stand in a text, found by the words around them.

A name is only looked for after a greeting, an introduction, a title or a sign-off, so product names stay. Knows nothing of
placeholders or storage; ``personal_data.py`` does the same for numbers, ``redact.py`` comes after both. Not a name recogniser:
a name in running text without such a word is left where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assistant.personal_data import Span, fold

#: Words that follow a greeting or introduction with a capital and are no name.
_NOT_NAMES_TEXT = """
a about account after again agent all also always am amazon an and another any anybody anyone are as at august back because
been before both bye can cancel care chat christmas could customer customers day dear delivery desk did do does dude each
either english everybody everyone everything evening excuse february folks for from friday friend friends german german good
got great guys had happy has have having he hello help her here hey hi his hope how i if im in is issue it its january just
june july kind ladies last let like look lot ma'am madam madame man many march mate may maybe me monday month more morning mr
mrs ms much my need never new next no nobody none not nothing november now october of ok okay on once one online only or order
ordered our over package password payment people please problem product quick re really received refund regarding regards
representative return sales same saturday september service she should sir sirs so some somebody someone something sorry
speaking store sunday sunny support sure team thank thanks that the their them then there these they thing this those though
three thursday to today tomorrow tuesday two under unfortunately until up update urgent us very wait waiting want was we
wednesday week well were what whats when where which while who whom why will with without wont world would wrong year yes
yesterday yet you your yours dezember december april sehr geehrte geehrter herr frau damen herren und ich wir mein meine guten
tag morgen abend team kundenservice danke bitte je nous mon madame monsieur bonjour merci señor señora hola gracias por todos
todo allemand american british chinese french canadian australian european speaking calling writing looking trying having
getting using unable able afraid aware
"""
_NOT_NAMES = frozenset(_NOT_NAMES_TEXT.split())
_PARTICLES = frozenset(("van", "von", "de", "der", "den", "da", "di", "la", "le", "bin", "al", "el", "del", "della", "dos", "du"))
_WORD = re.compile(r"[^\W\d_]{1,30}(?:['’-][^\W\d_]{1,30}){0,3}\.?")

_GREETING = re.compile(
    r"\b(?:hi|hello|hey|hiya|dear|good (?:morning|afternoon|evening|day)|hallo|guten (?:tag|morgen|abend)|liebe[r]?|moin|bonjour"
    r"|bonsoir|cher|chère|hola|buenos días|estimad[oa]|ciao|buongiorno|olá|welcome(?: back)?"
    r"|thanks|thank you|sorry|apologies)(?P<comma>,)? ",
)
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Señora?|Sra?|MR|MRS|DR)\b\.? ")
_TOLD = re.compile(
    r"\b(?:(?:my |the |his |her |full |first |last |customer |account |card ?holder(?:'s)? )"
    r"name(?:'s| is|:)|name[:：]"
    r"|i am called|they call me|mein name ist"
    r"|ich hei(?:ß|ss)e|je m['’]appelle|mon nom est|me llamo|mi nombre es|mi chiamo|meu nome é) {0,2}",
)
_INTRODUCED = re.compile(
    r"\b(?:this is|it['’]s|i am|i['’]m|im|ich bin|hier ist|je suis|soy|you(?:'re| are) (?:chatting|speaking|talking) (?:with|to)"
    r"|(?:spoke|speak|speaking|talked|chatted|chatting) (?:to|with)|on behalf of|signed by|ask for) ",
)
_AFTER_NAME = re.compile(
    r"^ ?(?:[,.!?;\n)]|$|[-–] "
    r"|(?:and|from|with|here|speaking|calling|again|your|yesterday|today|und|von|aus|et|y|de) ?\b)",
    re.I,
)
_FAMILY = re.compile(r" ([^\W\d_]{2,30})(?=[,.!;\n]|$| and\b)")
_QUALITY = re.compile(r"^\S{2,}(?:ous|able|ible|ing|ful|less|ical|tastic)$")
_SPEAKING = re.compile(r"^ (?:speaking|calling)\b", re.I)
_SIGN_OFF = re.compile(
    r"(?:\b(?:regards|wishes|sincerely|yours|truly|faithfully|cheers|thanks|thank you|thanks again|many thanks|thx|best|love"
    r"|grüßen|gruß|grüße"
    r"|cordialement|saludos|saluti|cumprimentos)[,.!]{0,2}(?P<gap>[ \t]{0,2}\n{1,2}[ \t]{0,4}| )|(?:^|\n|[.!?] )[-–—~]{1,2} ?)",
)
_LINE_END = re.compile(r"^[ .,!]{0,2}(?:\n|$|[-–,|] )")

_CJK = r"\u4e00-\u9fff"
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范廖石金贾韦夏付傅邹熊孟秦邱江尹薛阎侯雷龙段郝孔邵史毛顾赖武康贺严钱"
)
_SURNAME = f"(?:欧阳|司马|上官|诸葛|司徒|东方|皇甫|尉迟|公孙|慕容|[{_SURNAMES}])"
_NOT_GIVEN = "的是我你您他她们在想要有了请来订买和与也就都不没很女，。！？、说会员户"
_GIVEN = f"(?:(?![{_NOT_GIVEN}]|先生|小姐|太太)[{_CJK}])"
_CHINESE_TOLD = re.compile(
    rf"(?:我叫|我的名字(?:是|叫)|姓名(?:是|[:：])? ?|名字(?:是|[:：]) ?)"
    rf"(?P<name>{_SURNAME}{_GIVEN}{{1,2}}|{_GIVEN}{{2,3}}(?![{_CJK}]))"
)
_CHINESE_NAMES = (
    re.compile(rf"(?:我是|本人)(?P<name>{_SURNAME}(?!兴|金|便|牌|于){_GIVEN}{{1,2}})(?=[，。！？,.!?\s]|$|的|想|要)"),
    re.compile(rf"(?P<name>{_SURNAME}{_GIVEN}{{0,2}})(?=先生|女士|小姐|太太)"),
)
# Everyday words that hold a surname. Chinese has no spaces: without these 「谢谢小姐」 greets a Miss 谢谢, and 「感谢王小姐」
# a Miss 谢王. They are struck out from the left, as people read: 「感谢谢先生」 thanks a Mr 谢. Thanks are struck out anywhere,
# the others only where no surname stands before them, so that 李高兴 stays a name.
_THANKS = "[感多致答道酬鸣跪拜叩敬申]谢|谢谢|谢(?:啦|喽|咯|哈|哦|意|礼|过|绝|天谢地)|[代凋]谢"
_EVERYDAY = (
    "[上下本这那每隔两]周|周(?:[一二三四五六日天末围边到期年刊]|转)|[一这那每两几哪]张|[一这那每两几]段|阶段"
    "|马(?:上|桶|达|虎|路)|任(?:何|务|意|性)|[责信主委]任|许(?:多|久)|允许|顾(?:客|问|虑|及)|照顾|董事|曾经|师傅|余(?:额|款)|剩余"
    "|高(?:级|清|铁|兴|峰)|[最提较]高|严(?:重|格|肃)|健康|[现押定资租佣]金|(?:多少|退|付)钱|付(?:款|费|清)|[支垫]付"
    "|何(?:时|必|况|处)|[如为]何|程(?:序|度)|[流过课工]程|龙头|石头|雷达|江苏|苏州|韩国|唐山|武汉|沈阳|郑州|夏(?:天|季)"
)
_ORDINARY = re.compile(f"{_THANKS}|(?<![{_SURNAMES}])(?:{_EVERYDAY})")

_CAP = r"[A-ZÀ-ÖØ-Þ\u0100-\u017f\u0370-\u04ff][\w'’.-]{0,30}"
_UNIT = r"(?:,? ?\n? {0,4}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|#)\.? ?#?[A-Z0-9-]{1,6}){0,2}"
_STATE = "A[AEKLPRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|W[AIVY]"
_TOWN = rf"(?:,? ?\n? ?(?:{_CAP}(?: {_CAP}){{0,2}}, ?(?:{_STATE})(?: \d{{5}}(?:-\d{{4}})?)?|\d{{5}} {_CAP}))?"
_WIDE = r"(?:street|road|avenue|lane|boulevard|blvd|crescent|terrace)"
_NARROW = (
    r"(?:St|Rd|Ave|Ln|Dr|Drive|Court|Ct|Close|Way"
    r"|Place|Pl|Square|Sq|Gardens"
    r"|Highway|Hwy"
    r"|Parkway|Pkwy|Mews|Grove|Row|Hill|Park|Circle|Cir|Trail)"
)
_HARDWARE = r"(?:[KMGT]B|Hard|Flash|Disk|USB|Pen|External|Test)\b"
_ADDRESSES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<![\w.,$€£-])\d{{1,6}}[A-Za-z]?,? (?:[NSEW]\.? )?(?!{_HARDWARE})(?:{_CAP} ){{1,4}}"
        rf"(?i:{_WIDE}|{_NARROW})\b\.?{_UNIT}{_TOWN}",
        rf"(?<![\w.,$€£-])\d{{1,6}}[a-z]? (?!(?:of|on|in|to|the|days?|weeks?|hours?)\b)[a-z'’]{{3,20}} (?:[a-z'’]{{3,20}} )?"
        rf"(?i:{_WIDE})\b{_UNIT}{_TOWN}",
        rf"(?<![\w.,$€£-])\d{{1,4}}(?: ?(?:bis|ter))?,? (?i:rue|avenue|av\.|boulevard|bd|place|allée|chemin|impasse|quai"
        r"|route|cours) "
        rf"(?:(?:de|du|des|la|le|les|l'|d'|l’|d’)? ?){{0,2}}{_CAP}(?: (?:de |du |la )?{_CAP}){{0,3}}(?:,? ?\n?\d{{5}} {_CAP})?",
        rf"(?<!\w)(?:Via|Viale|Piazza|Corso|Calle|Avenida|Plaza|Carrer|Rua|Rue) (?:(?:de|del|la|do|da|dos) )?"
        rf"{_CAP}(?: {_CAP}){{0,3}},? \d{{1,5}}\b",
        r"(?i:\bp\.? ?o\.? ?box \d{1,6}\b|\bpostfach \d{2,6}\b)",
        rf"\b(?:PSC|Unit|CMR) \d{{1,5}},? Box \d{{1,5}}\b(?:\n(?:APO|FPO|DPO) (?:{_STATE}) \d{{5}})?",
        rf"(?:{_CAP}(?: {_CAP}){{0,2}}, ?)?\b(?:{_STATE})[ ,]{{1,2}}\d{{5}}(?:-\d{{4}})?(?!\d)",
        r"(?<![A-Za-z0-9-])(?:[A-PR-UWYZ][A-Z]?\d[A-Z\d]? ?\d(?!GB|TB|PB|HZ|LB|FT)[ABD-HJLNP-UW-Z]{2}"
        r"|[a-pr-uwyz][a-z]?\d[a-z\d]? \d(?!gb|tb|pb|hz|lb|ft)[abd-hjlnp-uw-z]{2})(?![A-Za-z0-9-])",
    )
)
_GERMAN_STREETS = ("straße", "strasse", "str.", "weg", "platz", "allee", "gasse", "damm", "ufer")
_GERMAN_ADDRESS = re.compile(
    rf"(?<!\w)[^\W\d_][\w-]{{0,30}}(?i:{'|'.join(map(re.escape, _GERMAN_STREETS))}) \d{{1,4}} ?[a-zA-Z]?\b"
    rf"(?:,? ?\n?\d{{5}} {_CAP})?"
)
_NOT_PLACE = f"(?:(?![是在到寄住我的址送往至给])[{_CJK}])"
_HOUSE = "(?:[号弄栋幢座室楼层]|单元|\\d{1,4})"
_CHINESE_ADDRESSES = (
    re.compile(
        rf"(?:{_NOT_PLACE}{{1,6}}?(?:省|自治区))?{_NOT_PLACE}{{2,7}}?市(?:[{_CJK}]{{1,6}}?[区县镇乡])?"
        rf"[{_CJK}\w]{{1,12}}?(?:路|街|大道|巷|弄|村|小区|镇)[{_CJK}]{{0,4}}\d{{0,5}}{_HOUSE}{{0,8}}"
    ),
    re.compile(rf"{_NOT_PLACE}{{1,6}}(?:路|街|大道|巷|弄) ?\d{{1,5}} ?[号弄]{_HOUSE}{{0,8}}"),
)
_LIVES = re.compile(
    r"(?:\baddress(?: is|:| to)?|\b(?:lives?|living|stay|located|office is) at"
    r"|\b(?:ship|shipped|deliver|delivered|send|sent|return|moved?) (?:\w{1,12} )?to)[: \n]{1,2}"
    rf"(?P<value>\d{{1,6}}[A-Za-z]?,?(?:[ ,\n]{{1,3}}(?:{_CAP}|\d{{1,6}}[a-z]?\b)){{1,12}})"
)


def names(text: str) -> Iterator[Span]:
    """Find names after greetings, introductions, titles and sign-offs, in Latin script and Chinese.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``NAME``; the words around a name stay.
    """
    folded = fold(text)
    for match in _TITLE.finditer(text):
        yield from _name_at(text, match.end())
    for match in _TOLD.finditer(folded):
        for span in _name_at(text, match.end(), lower=True):
            family = _FAMILY.match(text, span.end) if text[span.start].islower() else None
            known = family is None or family[1] in _NOT_NAMES
            yield span if known or family is None else Span("NAME", span.start, family.end())
    for match in _GREETING.finditer(folded):
        for span in _name_at(text, match.end()):
            if not match["comma"] or re.match(r"[,.!?\n]|$| (?:here|speaking)\b", text[span.end : span.end + 12]):
                yield span
    for match in _INTRODUCED.finditer(folded):
        for span in _name_at(text, match.end(), lower=True):
            after, capital = text[span.end : span.end + 14], text[span.start].isupper()
            name = text[span.start : span.end]
            if capital and (_QUALITY.search(name) or (name.isupper() and len(name) > 2)):
                continue  # "this is Ridiculous", "I'm STARVING"
            if _AFTER_NAME.search(after) if capital else match.group() == "this is " and _SPEAKING.search(after):
                yield span
    for match in _SIGN_OFF.finditer(folded):
        own_line = "\n" in (match["gap"] or "")
        for span in _name_at(text, match.end(), lower=own_line):
            if _LINE_END.search(text[span.end : span.end + 4]):
                yield span
    if not text.isascii():
        yield from _chinese_names(text)


def _chinese_names(text: str) -> Iterator[Span]:
    """Yield names after an introduction and before a title; everyday words that hold a surname begin none."""
    struck = _ORDINARY.sub(lambda word: "_" * len(word.group()), text)
    for pattern, where in ((_CHINESE_TOLD, text), *((pattern, struck) for pattern in _CHINESE_NAMES)):
        for match in pattern.finditer(where):
            yield Span("NAME", match.start("name"), match.end("name"))


def _name_at(text: str, start: int, lower: bool = False) -> Iterator[Span]:
    """Yield the name whose first word begins at ``start``; with ``lower`` its words may be written small."""
    end, position, words = start, start, 0
    while words < 4:
        match = _WORD.match(text, position)
        if match is None:
            break
        word = match.group()
        bare = word.rstrip(".")
        if re.split(r"['’]", bare.lower())[0] in _NOT_NAMES or bare.lower() in _NOT_NAMES:
            if words and bare[0].isupper():
                return  # "Hello Apple Support" greets a company
            break
        if bare[0].isupper() or (lower and words == 0):
            words += 1
            end = match.end() if len(bare) == 1 else match.start() + len(bare)
        elif not (words and bare.lower() in _PARTICLES):
            break
        if text[end : end + 1] != " " and words and end >= match.start():
            break
        position = match.end() + 1
        if text[match.end() : position] != " ":
            break
    if words and end - start >= 2 and text[start] < "\u4e00":
        yield Span("NAME", start, end)


def addresses(text: str) -> Iterator[Span]:
    """Find postal addresses: street and number (UK, US, DE, FR, IT, ES, PT, CN), post boxes, postcodes, zip with state.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``ADDRESS``; parts of one address may come as several spans.
    """
    for match in _LIVES.finditer(text):
        yield Span("ADDRESS", match.start("value"), match.end("value"))
    folded = fold(text)
    patterns = [*_ADDRESSES, *(() if text.isascii() else _CHINESE_ADDRESSES)]
    if any(street in folded for street in _GERMAN_STREETS):
        patterns.append(_GERMAN_ADDRESS)
    for pattern in patterns:
        for match in pattern.finditer(text):
            yield Span("ADDRESS", match.start(), match.end())

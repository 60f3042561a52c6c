"""Words the vetoes and the pair head know, English and French: opposites, negations, numbers, units, dates, fillers.

Written by hand from general knowledge; no data set's wordings went in.
"""

from __future__ import annotations


def listed(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


NEGATIONS = listed(
    "not no never none neither nor without cannot cant dont doesnt didnt isnt arent wasnt werent wont wouldnt couldnt "
    "shouldnt havent hasnt hadnt aint nothing nobody except excluding unless hardly barely "
    "pas jamais aucun aucune sans rien personne ni sauf"
)

_PAIRS = """
on:off in:out up:down open:close,closed,shut opened:closed enable:disable enabled:disabled activate:deactivate
activated:deactivated lock:unlock locked:unlocked subscribe:unsubscribe install:uninstall connect:disconnect
connected:disconnected add:remove,delete,subtract,deduct,drop adds:removes added:removed adding:removing
insert:remove,delete,extract include:exclude,omit includes:excludes included:excluded including:excluding
increase:decrease,reduce,lower,cut increased:decreased,reduced,lowered increasing:decreasing raise:lower,reduce
raised:lowered grow:shrink expand:shrink,collapse,contract upgrade:downgrade upload:download import:export
send:receive sent:received sending:receiving give:take borrow:lend buy:sell bought:sold buying:selling
purchase:sell push:pop,pull win:lose start:stop,end,finish started:stopped,ended,finished begin:end,finish,stop
beginning:end,ending pause:resume,continue accept:reject,decline,refuse accepted:rejected,declined,refused
approve:reject,deny,decline approved:rejected,denied,declined allow:forbid,ban,block,prohibit,deny,prevent
allowed:forbidden,banned,blocked,prohibited,denied permit:forbid,ban block:unblock,allow blocked:unblocked
mute:unmute follow:unfollow freeze:unfreeze,thaw pin:unpin hide:show,unhide,display hidden:shown,visible
show:hide pack:unpack zip:unzip encrypt:decrypt encode:decode compress:decompress,expand serialize:deserialize
mount:unmount load:unload,save check:uncheck attach:detach assign:unassign deposit:withdraw,withdrawal
deposits:withdrawals credit:debit hire:fire join:leave,split enter:exit,leave arrive:depart,leave
arrival:departure login:logout attack:defend agree:disagree like:dislike love:hate trust:distrust pass:fail
passed:failed succeed:fail success:failure build:destroy create:delete,destroy,remove created:deleted,destroyed
merge:split combine:separate,split push:pull rise:fall rising:falling remember:forget gain:lose,loss
profit:loss positive:negative true:false yes:no even:odd odd:even first:last second:last last:next,first
next:previous previous:next prior:next before:after after:before above:below,under over:under
upper:lower uppercase:lowercase higher:lower highest:lowest high:low more:less,fewer most:least,fewest
greater:less,smaller,lesser greatest:least,smallest larger:smaller largest:smallest,least large:small
bigger:smaller biggest:smallest big:small,little longer:shorter longest:shortest long:short
max:min maximum:minimum maximal:minimal maximize:minimize maximise:minimise top:bottom left:right
front:back,rear inside:outside inner:outer internal:external interior:exterior forward:backward,backwards,reverse
ascending:descending ascend:descend increasingly:decreasingly sorted:unsorted ordered:unordered same:different
equal:unequal,different similar:different,dissimilar unique:duplicate all:any,none,some every:any,some
both:either,neither any:all each:any always:never,sometimes often:rarely,seldom early:late earlier:later
earliest:latest oldest:newest,youngest older:newer,younger old:new,young new:used,old fast:slow faster:slower
fastest:slowest quick:slow hot:cold warm:cool,cold heat:cool light:dark,heavy bright:dark good:bad
better:worse best:worst benefit:drawback,disadvantage,risk benefits:drawbacks,disadvantages,risks,cons
advantage:disadvantage,drawback advantages:disadvantages,drawbacks pros:cons pro:con strength:weakness
strengths:weaknesses safe:unsafe,dangerous,risky safely:unsafely legal:illegal,unlawful lawful:unlawful
healthy:unhealthy happy:unhappy,sad able:unable possible:impossible available:unavailable valid:invalid
correct:incorrect,wrong right:wrong,left appropriate:inappropriate suitable:unsuitable necessary:unnecessary
required:optional mandatory:optional public:private open-source:proprietary free:paid cheap:expensive
cheaper:pricier,dearer cheapest:dearest easy:hard,difficult simple:complex rich:poor full:empty,part
full-time:part-time wet:dry clean:dirty loud:quiet strong:weak thick:thin wide:narrow deep:shallow
sharp:blunt near:far nearest:farthest,furthest closest:farthest,furthest single:multiple,double,married
singular:plural domestic:international,foreign national:international local:remote,global online:offline
indoor:outdoor manual:automatic manually:automatically static:dynamic synchronous:asynchronous
public:private male:female men:women man:woman boy:girl boys:girls husband:wife father:mother son:daughter
brother:sister king:queen his:her he:she men's:women's adult:child,kid,minor adults:children,kids,minors
kid:adult kids:adults employee:employer,contractor employees:employers,contractors employed:unemployed,self-employed
buyer:seller landlord:tenant landlords:tenants teacher:student,pupil teachers:students doctor:patient
parent:child parents:children customer:supplier sender:recipient,receiver lender:borrower winner:loser
morning:evening,afternoon,night day:night days:nights breakfast:dinner,lunch lunch:dinner summer:winter
spring:autumn,fall sunrise:sunset north:south east:west northern:southern eastern:western
vertical:horizontal vertically:horizontally row:column rows:columns horizontal:vertical width:height
numerator:denominator prefix:suffix head:tail parent:child ancestor:descendant union:intersection
sum:product,difference,average sums:products addition:subtraction,multiplication,division
add:multiply,divide multiply:divide plus:minus multiplication:division quotient:product,remainder
mean:median,mode median:mode average:sum,total,maximum,minimum square:cube squared:cubed squares:cubes
area:perimeter,volume volume:surface radius:diameter circle:square,triangle,rectangle sine:cosine
consonant:vowel consonants:vowels vowel:consonant uppercase:lowercase prime:composite integer:float
rational:irregular divisible:indivisible encode:decode list:tuple,set,dictionary,dict tuple:list,dictionary
string:integer,list array:string stack:queue key:value keys:values index:value rotate:flip
export:import smallest:largest minimum:maximum lowest:highest shortest:longest negative:positive
allumer:éteindre ouvrir:fermer ouvert:fermé ouverte:fermée activer:désactiver ajouter:supprimer,retirer,enlever
augmenter:diminuer,réduire,baisser monter:descendre,baisser acheter:vendre envoyer:recevoir accepter:refuser
commencer:finir,terminer,arrêter démarrer:arrêter avant:après plus:moins avec:sans premier:dernier
première:dernière grand:petit grande:petite long:court haut:bas meilleur:pire avantages:inconvénients
avantage:inconvénient légal:illégal possible:impossible gratuit:payant public:privé adulte:enfant
adultes:enfants entrée:sortie arrivée:départ vrai:faux oui:non toujours:jamais
verrouiller:déverrouiller bloquer:débloquer installer:désinstaller abonner:désabonner augmente:diminue
croissant:décroissant pair:impair maximum:minimum positif:négatif homme:femme hommes:femmes
"""


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in _PAIRS.split():
        word, _, others = pair.partition(":")
        for other in others.split(","):
            found.setdefault(word, set()).add(other)
            found.setdefault(other, set()).add(word)
    return {word: frozenset(others) for word, others in found.items()}


OPPOSITES = _opposites()

NUMBER_WORDS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
    "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20",
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000", "dozen": "12",
    "half": "0.5", "twice": "2", "double": "2", "triple": "3",
    "deux": "2", "trois": "3", "quatre": "4", "cinq": "5", "sept": "7", "huit": "8", "neuf": "9",
    "dix": "10", "quinze": "15", "vingt": "20", "trente": "30", "quarante": "40", "cinquante": "50", "cent": "100",
    "mille": "1000",
}  # fmt: skip
"""Without ``one``: too often it is no number."""

_UNITS = """
usd:$,dollar,dollars,buck,bucks gbp:£,quid eur:€,euro,euros jpy:¥,yen inr:₹,rupee,rupees percent:%,percentage,pourcent
pound:pounds,lb,lbs kg:kilo,kilos,kilogram,kilograms,kilogramme gram:g,grams,gramme,grammes mg:milligram,milligrams
oz:ounce,ounces ton:tons,tonne,tonnes km:kilometre,kilometres,kilometer,kilometers mile:miles
metre:meter,meters,metres cm:centimetre,centimeter,centimetres,centimeters mm:millimetre,millimetres
inch:inches foot:feet,ft yard:yards litre:liter,liters,litres ml:millilitre,milliliter gallon:gallons
kb:kilobyte,kilobytes mb:megabyte,megabytes gb:gigabyte,gigabytes tb:terabyte,terabytes
kwh:kilowatt-hour watt:watts volt:volts celsius:°c,centigrade fahrenheit:°f kelvin
ms:millisecond,milliseconds second:sec,seconds,secs minute:minutes,min,mins hour:hours,hr,hrs,heure,heures
day:days,jour,jours week:weeks,semaine,semaines month:months,mois year:years,yr,yrs,ans,année,années
quarter:quarters acre:acres hectare:hectares mph kph
"""

UNITS = {
    spelling: entry.partition(":")[0]
    for entry in _UNITS.split()
    for spelling in (entry.partition(":")[0], *filter(None, entry.partition(":")[2].split(",")))
}

DATES = listed(
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays "
    "sundays january february april june july august september october november december today tonight tomorrow "
    "yesterday weekend weekends weekday weekdays christmas easter midnight noon "
    "lundi mardi mercredi jeudi vendredi samedi dimanche janvier février avril juin juillet août septembre octobre "
    "novembre décembre aujourd'hui demain hier noël pâques midi minuit"
)
"""without March, which is a verb too"""

FILLERS = listed(
    "please pls plz thanks thank thankyou cheers hi hello hey hiya um umm uh er erm hm hmm ah oh yeah yep yup well so "
    "just kindly ok okay anyway anyways btw honestly obviously "
    "merci bonjour salut svp euh"
)

FUNCTION_WORDS = FILLERS | listed(
    "a an the this that these those it its i i'm im i've ive i'd id me my mine we us our you your he she they them "
    "up back their be is are was were been being am do does did done doing have has had having will would shall "
    "should can could may might must to of in on at by for from with about as into onto over than then there here "
    "and or but if when where what which who whom whose why how what's whats how's hows who's where's it's that's "
    "there's s t d ll re ve m get got gets getting want wants need needs like go way tell know much many any some "
    "also too very really le la les un une des du de d l et ou mais si que qui quoi quel quelle quels quelles "
    "comment pourquoi où quand je tu il elle on nous vous ils elles mon ma mes ton ta tes son sa ses notre votre ce "
    "cette ces est sont suis être avoir ai as a avons avez ont fait faire peux peut dois doit à au aux en dans par "
    "pour sur avec se me te y"
)

WEAK = listed(
    "able possible possibly wondering wonder question questions quick quickly let advance best process procedure "
    "procedures steps step method instructions guide explain describe show advise advice help assist assistance "
    "exactly actually basically currently simply regarding concerning regards option options available allow allowed "
    "permitted obtain acquire receive create set setup work works trying try tried looking look find give take make "
    "makes making use using happen happens put come sort kind type thing things stuff someone somebody anyone people "
    "possible hoping hope appreciate grateful great good day morning afternoon evening dear sir madam team guys "
    "expliquer aider étapes procédure façon manière possible souhaite voudrais aimerais pouvez pourriez"
)
"""words of the frame a question is put in: what is asked about rarely turns on them"""

_ALIKE = """
street/road/avenue exam/test/examination grade/mark/score/result results/grades/marks dispute/challenge/contest
report/notify file/submit/lodge complaint/grievance payslip/paystub wage/wages rent/lease tenant/renter
house/home/property garbage/rubbish/trash/waste bin/trashcan trousers/pants jumper/sweater lift/elevator
pavement/sidewalk petrol/gas/gasoline motorway/highway/freeway railway/railroad timetable/schedule
autumn/fall football/soccer sweets/candy biscuit/cookie chips/fries crisps/chips torch/flashlight
postcode/zipcode/zip post/mail letter/mail parcel/package box/package queue/line till/checkout
bill/invoice receipt/invoice payment/transaction transaction/purchase money/cash funds/money loan/credit
balance/funds limit/cap/maximum threshold/limit minimum/least maximum/most deadline/cutoff duedate/deadline
employer/company worker/employee colleague/coworker client/customer user/member guest/visitor
passenger/traveller/traveler tourist/visitor citizen/national foreigner/alien spouse/partner kids/children
infant/baby baby/newborn toddler/infant teenager/adolescent elderly/senior pupil/student school/college
university/college course/class lesson/class professor/lecturer teacher/instructor illness/disease/sickness
ill/sick medicine/medication/drug tablet/pill jab/injection/vaccination/vaccine vaccine/vaccination
hospital/clinic pharmacy/chemist/drugstore dentist/dental symptom/sign pain/ache injury/wound
password/passcode pin/passcode username/login email/e-mail mobile/cellphone laptop/notebook computer/pc
internet/broadband/web website/site/webpage app/application program/software bug/defect error/fault
folder/directory file/document document/paper picture/image/photo video/clip screen/display monitor/display
theme/mode button/key repository/repo pr/pull-request commit/revision deploy/release deployment/release
rollback/revert undo/revert restore/recover backup/back-up sync/synchronise synchronize/synchronise
optimise/optimize organise/organize cancel/void annul/cancel renew/extend extend/prolong postpone/delay
late/delayed early/soon immediately/instantly/straightaway often/frequently rarely/seldom always/constantly
annual/yearly monthly/per-month weekly/per-week daily/per-day cheap/inexpensive expensive/costly/pricey
free/complimentary big/large/huge tiny/small quick/fast/rapid slow/sluggish simple/easy hard/difficult/tough
correct/right wrong/incorrect important/essential/crucial necessary/required/needed mandatory/compulsory/required
optional/voluntary legal/lawful illegal/unlawful safe/secure dangerous/hazardous/risky broken/faulty/damaged
lost/missing stolen/theft damaged/broken dirty/unclean tidy/clean empty/vacant full/complete new/brand-new
old/former previous/former/earlier next/following final/last first/initial main/primary/principal
famous/well-known rich/wealthy poor/needy happy/glad sad/unhappy angry/mad clever/smart/intelligent stupid/dumb
begin/start begins/starts starting/beginning end/finish expire/lapse expires/ends arrive/come depart/leave
travel/journey fly/flying drive/driving walk/walking eat/consume drink/drinking sleep/sleeping cook/prepare
bake/cook boil/boiling roast/roasting wash/clean repair/mend/fix replace/swap/substitute swap/exchange
exchange/trade join/enrol enter/access access/reach open/launch run/execute execute/launch close/shut
compare/contrast describe/characterise explain/clarify summarise/summarize/condense translate/render
write/compose draft/write proofread/check correct/fix rephrase/reword/paraphrase rewrite/reword
locate/find discover/find search/look-up detect/identify/recognise count/tally measure/gauge estimate/approximate
calculate/compute work-out/calculate convert/change/turn transform/convert split/divide divide/separate
join/combine/merge merge/combine connect/link attach/append append/add include/contain contain/hold
remove/eliminate delete/erase/wipe hide/conceal reveal/show prevent/avoid/stop protect/safeguard guard/protect
buy/get pick/select/choose decide/choose prefer/favour enjoy/like need/require want/desire own/have
loan/borrow hire/rent employ/hire fire/sack/dismiss quit/resign/leave retire/retirement
rue/route étudiant/élève travail/emploi/boulot salaire/paie facture/note colis/paquet courriel/mail/e-mail
mot-de-passe/code ordinateur/pc erreur/faute problème/souci maladie/affection médicament/remède rapide/vite
facile/simple difficile/compliqué maintenant/actuellement
begin/start/commence buy/purchase get/obtain/acquire cancel/terminate/end stop/end/cease change/switch/alter/modify
update/change/edit choose/select/pick require/need show/display help/assist repair/fix create/make/set/setup
delete/remove/erase big/large small/little quick/fast price/cost/charge/fee cost/charge/rate
car/vehicle/automobile shop/store phone/mobile/cellphone/telephone film/movie flat/apartment holiday/vacation
child/kid kids/children doctor/gp/physician lawyer/solicitor/attorney job/position picture/photo/image
error/mistake earlier/previous method/way/procedure/process result/outcome reply/answer/respond allowed/permitted
permit/allow maximum/max minimum/min biggest/largest smallest/tiniest quickest/fastest find/locate
determine/check/verify compute/calculate return/give whether/if whole/entire near/close nearby/close
sign-up/register/enroll/enrol login/log-in/sign-in send/submit contact/reach speak/talk purchase/order
reserve/book reservation/booking delivery/shipping ship/deliver return/refund luggage/baggage suitcase/luggage
plane/flight aircraft/plane airplane/plane journey/trip study/learn teach/explain fire/dismiss wage/salary/pay
earnings/income tax/taxes boss/manager staff/employees company/business/firm aim/goal/purpose
meaning/definition definition/mean difference/distinction author/writer inventor/creator founder/creator
capital/capital-city population/inhabitants height/tall weight/heavy age/old distance/far duration/long
frequency/often location/place begin/open finish/end/complete/close total/sum/altogether amount/number/quantity
number/count string/text list/array dictionary/dict integer/int word/term letter/character
acheter/commander annuler/résilier changer/modifier prix/coût/tarif commencer/débuter trouver/chercher supprimer/effacer
expédier/envoyer obtenir/avoir/recevoir réserver/prendre voiture/auto/véhicule appartement/logement médecin/docteur
"""


def _alike() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group in _ALIKE.split():
        names = group.split("/")
        for name in names:
            found.setdefault(name, set()).update(names)
    return {name: frozenset(names) for name, names in found.items()}


ALIKE = _alike()
"""word -> words that can often stand for it; not closed under itself: end is near stop and finish, they are not"""

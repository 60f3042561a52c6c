"""The report's sentences in French, by the English ones (`rung.report.words`); tests hold the two together."""

SENTENCES = {
    # the conclusion
    "adopt the local model": "adopter le modèle local",
    "keep the local model as a fallback": "garder le modèle local en secours",
    "defer the local model": "attendre pour le modèle local",
    "use the fast cloud instead": "prendre plutôt le cloud rapide",
    "not enough data yet": "pas encore assez de données",
    "adopt": "adopter",
    "fallback": "secours",
    "defer": "attendre",
    "cloud": "cloud",
    "It saves {0} a day ({1}, with 90 % confidence).": "Il économise {0} par jour ({1}, avec 90 % de confiance).",
    "it would save {0} a day ({1})": "il économiserait {0} par jour ({1})",
    "it would lose {0} a day ({1})": "il perdrait {0} par jour ({1})",
    "it takes {0} s (more than {1})": "il met {0} s (plus de {1})",
    "there is no memory for it": "la mémoire n'y suffit pas",
    ", and ": ", et ",
    " and ": " et ",
    " or ": " ou ",
    "{0} calls may not leave this machine": "{0} appels ne doivent pas quitter cette machine",
    "it answered {0} calls after a cloud had failed": "il a répondu à {0} appels après la panne d'un cloud",
    "; ": " ; ",
    "{0}; but {1}.": "{0} ; mais {1}.",
    "{0}: not sure yet, {1} more calls may tell (days at this rate: {2}).": (
        "{0} : pas encore sûr, {1} appels de plus peuvent trancher (jours à ce rythme : {2})."
    ),
    "{0}. It would pay at {1} calls a day (now {2}).": "{0}. Il serait rentable à {1} appels par jour (ici {2}).",
    "{0}. It would pay if the reference cost {1} times as much.": (
        "{0}. Il serait rentable si la référence coûtait {1} fois autant."
    ),
    "The {0} minutes of upkeep a month ({1} a day) are assumed; without them the conclusion would be the same.": (
        "Les {0} minutes d'entretien par mois ({1} par jour) sont supposées ; sans elles, la conclusion serait la même."
    ),
    "Without the {0} minutes of upkeep a month ({1} a day), which are assumed, the conclusion would be: {2}.": (
        "Sans les {0} minutes d'entretien par mois ({1} par jour), qui sont supposées, la conclusion serait : {2}."
    ),
    "Even if it could answer every call: {0}": "Même s'il pouvait répondre à tous les appels : {0}",
    "Not enough yet: {0} more calls ({1} so far).": "Pas encore assez : {0} appels de plus ({1} jusqu'ici).",
    "Nobody knows yet how often it agrees with the reference: {0} more calls, with trust learning.": (
        "Personne ne sait encore s'il dit comme la référence : {0} appels de plus, la confiance étant en marche."
    ),
    "What the reference or the local model costs per call is not known: {0} more calls.": (
        "Ce que coûte un appel à la référence ou au modèle local est inconnu : {0} appels de plus."
    ),
    "more calls, some of them compared with the reference": "plus d'appels, dont une part comparée avec la référence",
    "it may answer {0} of the calls ({1})": "il peut répondre à {0} des appels ({1})",
    "each such answer saves {0} ({1})": "chacune de ces réponses économise {0} ({1})",
    "learning takes {0} a day, upkeep {1} (assumed)": "apprendre prend {0} par jour, l'entretien {1} (supposé)",
    "the opposite needs: {0}": "pour le contraire, il faut : {0}",
    "The opposite needs: {0}.": "Pour le contraire, il faut : {0}.",
    "fewer than {0} calls a day": "moins de {0} appels par jour",
    "more than {0} calls a day": "plus de {0} appels par jour",
    "the reference at under {0} times its price": "la référence à moins de {0} fois son prix",
    "the reference at over {0} times its price": "la référence à plus de {0} fois son prix",
    "more than {0} minutes of upkeep a month": "plus de {0} minutes d'entretien par mois",
    "less than {0} minutes of upkeep a month": "moins de {0} minutes d'entretien par mois",
    "more memory": "plus de mémoire",
    "more memory, and {0}": "plus de mémoire, et {0}",
    "a faster machine or model": "une machine ou un modèle plus rapide",
    "a faster machine or model, and {0}": "une machine ou un modèle plus rapide, et {0}",
    "a reference that costs more than a local answer": "une référence plus chère qu'une réponse locale",
    "{0} to {1}": "{0} à {1}",
    "{0} ({1} to {2})": "{0} ({1} à {2})",
    "{0}: {1}": "{0} : {1}",
    # what holds for the whole
    "{0} calls in {1}{2}; {3} against {4}": "{0} appels en {1}{2} ; {3} face à {4}",
    "{0} days": "{0} jours",
    "{0} h": "{0} h",
    "{0} min": "{0} min",
    ", {0} of them simulated": ", dont {0} simulés",
    "no local model": "aucun modèle local",
    "{0} calls were answered by simulators": "{0} appels ont reçu la réponse de simulateurs",
    "what if {0}: predicted": "et si {0} : prédit",
    "what it may answer is taken over from the local model that was measured: assumed": (
        "ce à quoi il peut répondre est repris du modèle local qui a été mesuré : supposé"
    ),
    "predicted from {0}: the tools really ran, repeats were counted, the rest is estimated": (
        "prédit d'après {0} : les outils ont vraiment tourné, les répétitions sont comptées, le reste est estimé"
    ),
    "recorded on {0} on {1}; {2}, rung {3}; {4} of {5} calls simulated; asked within {6} minutes, told as one day: "
    "assumed": (
        "enregistré le {0} sur {1} ; {2}, rung {3} ; {4} appels simulés sur {5} ; posés en {6} minutes, comptés comme "
        "une journée : supposé"
    ),
    # the table
    "The candidates": "Les candidats",
    "tools + caches": "outils + caches",
    "latency p50": "latence p50",
    "latency p95": "latence p95",
    "first token": "premier jeton",
    "cost per 1,000 calls": "coût de 1\u202f000 appels",
    "quality": "qualité",
    "memory": "mémoire",
    "disk": "disque",
    "install": "installation",
    "upkeep": "entretien",
    "privacy": "vie privée",
    "not known": "inconnu",
    "{0} s ({1} to {2})": "{0} s ({1} à {2})",
    "{0} ({1} of unknown price left out)": "{0} (sans {1} de prix inconnu)",
    "proved, or the same call's own answer": "prouvée, ou la réponse du même appel",
    "differs in {0} ({1} to {2}; {3} compared)": "diffère dans {0} ({1} à {2} ; {3} comparés)",
    "never compared": "jamais comparé",
    "the reference": "la référence",
    "in the gateway's own": "celle de la passerelle",
    "the cache's file": "le fichier du cache",
    "none here": "rien ici",
    "{0}: does not fit": "{0} : ne tient pas",
    "comes with rung": "fait partie de rung",
    "as you did": "comme vous avez fait",
    "2 steps: {0}; {1}": "2 étapes : {0} ; {1}",
    "an account and a key ({0})": "un compte et une clé ({0})",
    "none": "aucun",
    "keys, limits, models that are withdrawn": "clés, limites, modèles retirés",
    "crashes: {0}, came back by itself: {1}, given up: {2}, updates: {3}": (
        "pannes : {0}, revenu seul : {1}, abandons : {2}, mises à jour : {3}"
    ),
    "failed answers: {0}": "réponses manquées : {0}",
    "since {0}": "depuis le {0}",
    "never run here": "n'a jamais tourné ici",
    "stays on this machine": "reste sur cette machine",
    "leaves this machine": "quitte cette machine",
    "m measured, ~ predicted, sim simulated, j judged by a model, c the provider's claim, ≈ assumed; "
    "unmarked: what the thing is": (
        "m mesuré, ~ prédit, sim simulé, j jugé par un modèle, c dit par le fournisseur, ≈ supposé ; sans marque : ce "
        "que la chose est"
    ),
    "measured": "mesuré",
    "predicted": "prédit",
    "simulated": "simulé",
    "judged": "jugé",
    "claimed": "dit par le fournisseur",
    "assumed": "supposé",
    # task by task
    "Task by task": "Tâche par tâche",
    "task": "tâche",
    "calls": "appels",
    "advice": "conseil",
    "{0} ({1}): {2}": "{0} ({1}) : {2}",
    "programs and caches answer {0}": "programmes et caches répondent à {0}",
    "{0} may answer {1} at {2} disagreement": "{0} peut répondre à {1}, à {2} de désaccord au plus",
    "{0} disagrees too often ({1}) for {2}: send it up": "{0} est trop souvent en désaccord ({1}) pour {2} : plus haut",
    "{0}: {1} more comparisons until it may be trusted": "{0} : {1} comparaisons de plus avant de s'y fier",
    "no lower model has been compared: send it to the reference": (
        "aucun modèle plus bas n'a été comparé : à la référence"
    ),
    # the margins
    "What each rung adds": "Ce qu'ajoute chaque échelon",
    "What each rung adds, per 1,000 calls, with and without it; 90 % interval:": (
        "Ce qu'ajoute chaque échelon, pour 1\u202f000 appels, avec et sans lui ; intervalle à 90 % :"
    ),
    "Per 1,000 calls, with and without it; 90 % interval.": (
        "Pour 1\u202f000 appels, avec et sans lui ; intervalle à 90 %."
    ),
    "all": "tous",
    "rung": "échelon",
    "answered": "a répondu",
    "saves": "économise",
    "seconds": "secondes",
    "answers that differ": "réponses qui diffèrent",
    "not compared": "pas comparé",
    "{0} of {1} asked": "{0} fois sur {1}",
    # the bill
    "The bill": "La facture",
    "The bill:": "La facture :",
    "answers": "réponses",
    "attempts that gave no answer": "essais sans réponse",
    "shadows": "comparaisons dans l'ombre",
    "audits": "audits",
    "judges": "juges",
    "the reference against itself": "la référence face à elle-même",
    "all the ledger has": "tout ce qu'a le registre",
    "of unknown price": "de prix inconnu",
    "{0} calls, in no sum": "{0} appels, dans aucune somme",
    "prompt-cache writes": "écritures de cache de prompts",
    "{0} tokens, in the sums": "{0} jetons, dans les sommes",
    "energy of the local model": "énergie du modèle local",
    "all of it at {0} alone": "le tout à {0} seul",
    "cheapest single model": "modèle seul le moins cher",
    "answers that differ, as routed": "réponses qui diffèrent, avec ce routage",
    "the same, routed at random for the same money": "de même, routées au hasard pour le même prix",
    # if things were otherwise
    "If things were otherwise": "S'il en était autrement",
    "The conclusion at other traffic (across) and other prices of the reference (down):": (
        "La conclusion pour un autre trafic (en colonnes) et d'autres prix de la référence (en lignes) :"
    ),
    "price": "prix",
    "price ↓ calls →": "prix ↓ appels →",
    "If it took so many minutes of your time a month:": "S'il vous prenait tant de minutes par mois :",
    "With the same local model on other machines (foretold):": (
        "Avec le même modèle local sur d'autres machines (prédit) :"
    ),
    "does not fit": "ne tient pas",
}

(** Context watchers and their numbers. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.

  Notation state := (state M).
  Implicit Types s : state.

  (** ** Watchers *)

  (** WATCH-2: the lowest free slot is taken; answers its number. *)
  Fixpoint take_slot (w : watcher_id) (slots : list (option watcher_id)) : option (list (option watcher_id) * N) :=
    match slots with
    | [] => None
    | None :: rest => Some (Some w :: rest, 0)
    | taken :: rest =>
        match take_slot w rest with
        | Some (rest, n) => Some (taken :: rest, n + 1)
        | None => None
        end
    end.

  (** WATCH-2, WATCH-3 ([PyContext_AddWatcher]). *)
  Definition add_watcher (made : watcher_id) s : state * outcome :=
    match take_slot made (watchers s) with
    | Some (slots, n) => (set_watchers slots s, Count n)
    | None => (s, Error NoMoreWatchers)
    end.

  (** WATCH-4 to WATCH-6 ([PyContext_ClearWatcher]). *)
  Definition clear_watcher (slot : option N) (id : Z) s : state * outcome :=
    match slot with
    | None => (s, Error (InvalidWatcher id))
    | Some n =>
        if 8 <=? n then (s, Error (InvalidWatcher id))
        else
          match watchers s !! N.to_nat n with
          | Some (Some _) => (set_watchers (<[N.to_nat n := None]> (watchers s)) s, Done)
          | _ => (s, Error (WatcherNotSet id))
          end
    end.
End machine.

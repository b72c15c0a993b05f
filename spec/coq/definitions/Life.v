(** What keeps a context alive (CONTEXT-5, TOKEN-13). *)
From stdpp Require Import base numbers gmap.
From Contextvars Require Import Words Bindings State.
Local Open Scope N_scope.

Section life.
  Context {M : Type} `{Bindings M}.

  Fixpoint member (c : N) (l : list N) : bool :=
    match l with [] => false | other :: rest => (c =? other) || member c rest end.

  (** Named by the trace, held by a token, or by an open call of a live thread. *)
  Definition is_root (s : state M) (c : N) : bool :=
    member c ((map_to_list (names s)).*2)
    || existsb (fun '(_, t) => tok_held t && (tok_context t =? c)) (map_to_list (tokens s))
    || existsb (fun '(_, t) => th_live t && member c ((th_frames t).*1)) (map_to_list (threads s)).

  Definition whole_stack (t : thread) : list N :=
    th_stack t ++ match th_base t with Some b => [b] | None => [] end.

  (** Whether a context is in a stack, at or below one that is alive: an entered context keeps what
      was current before it. *)
  Fixpoint is_below (s : state M) (c : N) (stack : list N) (above : bool) : bool :=
    match stack with
    | [] => false
    | other :: rest =>
        let above := above || is_root s other in
        (above && (c =? other)) || is_below s c rest above
    end.

  (** CONTEXT-5, TOKEN-13. *)
  Definition is_alive (s : state M) (c : N) : bool :=
    is_root s c
    || existsb (fun '(_, t) => is_below s c (whole_stack t) (th_live t)) (map_to_list (threads s)).
End life.

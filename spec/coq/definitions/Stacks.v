(** Contexts are entered and exited, run calls and returns, threads start and end. *)
From stdpp Require Import base numbers gmap strings.
From Contextvars Require Import Words Bindings State Variables.
Local Open Scope N_scope.

Section machine.
  Context {M : Type} `{Bindings M}.

  Notation state := (state M).
  Implicit Types s : state.

  (** ** Enter, exit, run *)

  (** WATCH-1, WATCH-7: every watcher is told what is current. *)
  Definition tell (c : option N) s : state :=
    let shown :=
      match c with
      | None => Null
      | Some c => match ctx_name (context_of s c) with Some name => Named name | None => Unnamed end
      end in
    let told := omap (fun w => (fun w => Event w shown) <$> w) (watchers s) in
    set_events (rev_append told (events s)) s.

  (** VER-1, VER-3, WATCH-1 ([context_switched]): the thread gets another stack. *)
  Definition switch (th : thread_id) (stack : list N) s : state :=
    let t := thread_of s th in
    let t := MkThread (th_live t) (th_base t) stack (u64_next (th_ver t)) (ghost_next (th_switches t)) (th_frames t) in
    tell (current t) (put_thread th t s).

  Definition set_entered (c : N) (entered : bool) s : state :=
    let x := context_of s c in
    put_context c (MkContext (ctx_map x) entered (ctx_name x)) s.

  (** ENTER-1, ENTER-3, THREAD-4 ([PyContext_Enter]). *)
  Definition enter (th : thread_id) (c : N) (name : context_id) s : state * option error :=
    if ctx_entered (context_of s c) then (s, Some (AlreadyEntered name))
    else (switch th (c :: th_stack (thread_of s th)) (set_entered c true s), None).

  Definition is_current (c : N) (t : thread) : bool :=
    match current t with Some other => c =? other | None => false end.

  (** EXIT-1, EXIT-3, EXIT-4 ([PyContext_Exit]). *)
  Definition exit (th : thread_id) (c : N) (name : context_id) s : state * option error :=
    if negb (ctx_entered (context_of s c)) then (s, Some (NotEntered name))
    else if negb (is_current c (thread_of s th)) then (s, Some (NotCurrent name))
    else (switch th (tail (th_stack (thread_of s th))) (set_entered c false s), None).

  Definition answer (r : state * option error) : state * outcome :=
    let '(s, e) := r in (s, match e with None => Done | Some e => Error e end).

  Definition set_frames (th : thread_id) (frames : list (N * context_id)) s : state :=
    let t := thread_of s th in
    put_thread th (MkThread (th_live t) (th_base t) (th_stack t) (th_ver t) (th_switches t) frames) s.

  (** RUN-1, RUN-3 ([context_run]). *)
  Definition run_begin (th : thread_id) (name : context_id) s : state * outcome :=
    match names s !! name with
    | None => (s, Skipped)
    | Some c =>
        match enter th c name s with
        | (s, Some e) => (s, Error e)
        | (s, None) => (set_frames th ((c, name) :: th_frames (thread_of s th)) s, Called)
        end
    end.

  (** RUN-1, RUN-4, RUN-7, RUN-8 ([context_run]): a failing exit replaces the result. *)
  Definition run_end (th : thread_id) (result : outcome) s : state * outcome :=
    match th_frames (thread_of s th) with
    | [] => (s, Skipped)
    | (c, name) :: frames =>
        match exit th c name (set_frames th frames s) with
        | (s, Some e) => (s, Error e)
        | (s, None) => (s, result)
        end
    end.

  (** ** Threads *)

  Definition start_thread (made : thread_id) s : state * outcome :=
    match threads s !! made with
    | Some _ => (s, Skipped)
    | None => (put_thread made new_thread s, Done)
    end.

  (** One call of [run_end] a frame, innermost first. *)
  Fixpoint unwind (frames : list (N * context_id)) (th : thread_id) s : state :=
    match frames with
    | [] => s
    | _ :: rest => unwind rest th (fst (run_end th Done s))
    end.

  (** THREAD-5: what the thread entered otherwise stays entered. *)
  Definition end_thread (th : thread_id) s : state * outcome :=
    let s := unwind (th_frames (thread_of s th)) th s in
    let t := thread_of s th in
    (put_thread th (MkThread false (th_base t) (th_stack t) (th_ver t) (th_switches t) (th_frames t)) s, Done).

  (** THREAD-1, GET-5: a fresh context is entered over what is current, and exited. *)
  Definition has_current (th : thread_id) s : state * outcome :=
    let t := thread_of s th in
    let x := add_context new_context s in
    let s := switch th (next_context s :: th_stack t) x in
    (switch th (th_stack t) s, Bool (present (current t))).
End machine.
